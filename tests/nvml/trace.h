/* Closed forms of a device's power: the C twin of tests/energy/traces.py, for the same trace files. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SPANS = 256 };

struct trace {
    int known;
    double idle_w, period_s, phase_s, refresh_s, average_s;
    char kind[16];
    double n[4];
    int n_spans;
    double span[MOST_SPANS][2];
};

static void trace_read(struct trace *t, const char *path) {
    FILE *file = fopen(path, "r");
    char line[256], name[32];
    if (!file) {
        fprintf(stderr, "replay: no trace %s\n", path);
        abort();
    }
    t->known = 1;
    while (fgets(line, sizeof line, file)) {
        double a = 0, b = 0;
        char *hash = strchr(line, '#');
        if (hash) *hash = 0;
        int found = sscanf(line, "%31s %lf %lf", name, &a, &b);
        if (found < 1) continue;
        if (!strcmp(name, "load")) {
            sscanf(line, "%*s %15s %lf %lf %lf %lf", t->kind, &t->n[0], &t->n[1], &t->n[2], &t->n[3]);
        } else if (!strcmp(name, "idle")) t->idle_w = a / 1e3;
        else if (!strcmp(name, "period")) t->period_s = a / 1e3;
        else if (!strcmp(name, "phase")) t->phase_s = a / 1e3;
        else if (!strcmp(name, "refresh")) t->refresh_s = a / 1e3;
        else if (!strcmp(name, "average")) t->average_s = a / 1e3;
        else if (!strcmp(name, "on")) {
            t->span[t->n_spans][0] = a;
            t->span[t->n_spans++][1] = b;
        } else {
            fprintf(stderr, "replay: no trace statement %s\n", name);
            abort();
        }
    }
    fclose(file);
}

/* The level of a random walk's step, and the joules of all steps before it. */
static double walk(const struct trace *t, int step, double *before_j) {
    double low = t->n[1] / 1e3, high = t->n[2] / 1e3, level = (low + high) / 2, sum = 0;
    unsigned long state = (unsigned long)t->n[0];
    for (int i = 0; i < step; i++) {
        sum += level * t->n[3] / 1e3;
        state = (state * 1103515245UL + 12345UL) % 2147483648UL;
        level += (double)((long)((state >> 16) % 2001UL) - 1000) / 1000 * (high - low) / 10;
        level = level < low ? low : level > high ? high : level;
    }
    if (before_j) *before_j = sum;
    return level;
}

static double load_w(const struct trace *t, double tau_s) {
    const double *n = t->n, ms = tau_s * 1e3;
    if (!strcmp(t->kind, "constant")) return n[0] / 1e3;
    if (!strcmp(t->kind, "ramp")) return (n[0] + (n[1] - n[0]) * fmin(1, ms / n[2])) / 1e3;
    if (!strcmp(t->kind, "sine")) return (n[0] + n[1] * sin(2 * M_PI * ms / n[2])) / 1e3;
    if (!strcmp(t->kind, "square")) return (fmod(ms, n[2]) < n[2] / 2 ? n[0] : n[1]) / 1e3;
    if (!strcmp(t->kind, "bursts")) return (fmod(ms, n[2]) < n[3] ? n[1] : n[0]) / 1e3;
    return walk(t, (int)(ms / n[3] + 1e-9), NULL);
}

static double load_j(const struct trace *t, double tau_s) {
    const double *n = t->n;
    if (!strcmp(t->kind, "constant")) return n[0] / 1e3 * tau_s;
    if (!strcmp(t->kind, "ramp")) {
        double rising = fmin(tau_s, n[2] / 1e3), slope = (n[1] - n[0]) / n[2];
        return n[0] / 1e3 * rising + slope * rising * rising / 2 + n[1] / 1e3 * (tau_s - rising);
    }
    if (!strcmp(t->kind, "sine")) {
        double omega = 2 * M_PI / (n[2] / 1e3);
        return n[0] / 1e3 * tau_s + n[1] / 1e3 * (1 - cos(omega * tau_s)) / omega;
    }
    if (!strcmp(t->kind, "square") || !strcmp(t->kind, "bursts")) {
        int bursts = *t->kind == 'b';
        double period = n[2] / 1e3, first = bursts ? n[3] / 1e3 : period / 2;
        double first_w = (bursts ? n[1] : n[0]) / 1e3, then_w = (bursts ? n[0] : n[1]) / 1e3;
        double whole = floor(tau_s / period), rest = tau_s - whole * period;
        double total = whole * first + fmin(rest, first);
        return first_w * total + then_w * (tau_s - total);
    }
    double step = n[3] / 1e3, before;
    int whole = (int)(tau_s / step + 1e-9);
    double level = walk(t, whole, &before);
    return before + level * (tau_s - whole * step);
}

static double trace_j(const struct trace *t, double at_s) {
    double busy = 0, loaded = 0;
    for (int i = 0; i < t->n_spans; i++)
        if (at_s > t->span[i][0]) {
            double inside = fmin(at_s, t->span[i][1]) - t->span[i][0];
            busy += inside;
            loaded += load_j(t, inside);
        }
    return t->idle_w * (at_s - busy) + loaded;
}

static double trace_w(const struct trace *t, double at_s) {
    for (int i = 0; i < t->n_spans; i++)
        if (t->span[i][0] <= at_s && at_s < t->span[i][1]) return load_w(t, at_s - t->span[i][0]);
    return t->idle_w;
}

/* What the counter shows, in millijoules, and what the power sensor shows, in milliwatts. */
static double trace_counter_mj(const struct trace *t, double at_s) {
    if (t->period_s > 0) {
        at_s = floor((at_s + t->phase_s) / t->period_s + 1e-9) * t->period_s - t->phase_s;
        if (at_s < 0) at_s = 0;
    }
    return floor(trace_j(t, at_s) * 1000 + 0.5);
}

static double trace_sensor_mw(const struct trace *t, double at_s) {
    if (t->refresh_s > 0) at_s = floor(at_s / t->refresh_s + 1e-9) * t->refresh_s;
    if (t->average_s <= 0) return trace_w(t, at_s) * 1e3;
    double since = fmax(0, at_s - t->average_s);
    if (at_s <= since) return t->idle_w * 1e3;
    return (trace_j(t, at_s) - trace_j(t, since)) / (at_s - since) * 1e3;
}
