/* A library with NVML's interface that replays a scenario instead of asking a driver.
 *
 * Built by the tests with the system's compiler and read by the real nvidia-ml-py. The scenario is a
 * text file named by DLBENCH_NVML_REPLAY, one statement a line, # for comments:
 *
 *   clock real | clock step MS     time since nvmlInit, or MS milliseconds more at each energy read
 *   clock manual                   what replay_set_clock said last; replay_set_load begins and ends load
 *   gpu KEY VALUE ...              one more GPU; the keys are those of set() below
 *   slice KEY VALUE ...            one more MIG slice of the last GPU
 *   trace PATH                     energy and power of the last GPU, see tests/energy/traces.py
 *   missing SYMBOL                 answers FUNCTION_NOT_FOUND, as the binding does for an old library
 *   after SYMBOL GPU MS CODE       as fail, from MS milliseconds after replay_arm
 *   reset MS                       the counters start again at 0, MS milliseconds after replay_arm
 *   hang SYMBOL FROM MS            from the FROM-th call on, SYMBOL takes MS milliseconds
 *   fail SYMBOL GPU FROM CODE      from the FROM-th call on, SYMBOL answers CODE  on that GPU (or *)
 *                                  a field of FieldValues fails as SYMBOL field186, its own code
 *
 * Energy is closed form: base_mj + power_mw * t, seen only every period_ms. A value that a scenario
 * does not set is answered as NVML answers what a device lacks: NOT_SUPPORTED (3). In values, _ stands
 * for a space.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "trace.h"

enum { OK = 0, UNINITIALIZED = 1, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, FUNCTION_NOT_FOUND = 13 };
enum { MOST_GPUS = 8, MOST_SLICES = 8, MOST_FAULTS = 64, MOST_PROCESSES = 8, ANY = -1 };
enum { KEYS = 34 };

/* Numbers that a GPU may be given; the order is free. */
static const char *NAMES[KEYS] = {
    "memory_mib", "used_mib",  "power_mw",  "base_mj",     "period_ms",  "major", "minor",
    "cores",      "sm_mhz",    "mem_mhz",   "limit_mw",    "default_mw", "mig",   "ecc",
    "persistence", "reasons",  "celsius",   "utilisation", "virtual",    "pcie",
    "celsius_v",  "events",    "instant_mw", "average_mw", "module_mw", "arch", "reserved_mib",
    "power_cap_us", "sw_thermal_us", "hw_thermal_us", "brake_us", "energy_field", "pcie_kbs", "width"};
enum {
    MEMORY, USED, POWER, BASE, PERIOD, MAJOR, MINOR, CORES, SM, MEM, LIMIT, DEFAULT, MIG, ECC,
    PERSISTENCE, REASONS, CELSIUS, UTILISATION, VIRTUAL, PCIE,
    CELSIUS_V, EVENTS, INSTANT, AVERAGE, MODULE, ARCH, RESERVED,
    POWER_CAP, SW_THERMAL, HW_THERMAL, BRAKE, ENERGY_FIELD, PCIE_KBS, WIDTH
};

struct gpu {
    char name[96], uuid[96];
    long long value[KEYS];
    int known[KEYS];
    int index, n_slices, n_processes;
    unsigned pid[MOST_PROCESSES];
    unsigned long long held_mib[MOST_PROCESSES];
    struct gpu *board, *slice[MOST_SLICES];
    struct trace trace;
};
struct fault {
    char symbol[64];
    int gpu, from, code, calls, hang_ms, after_ms;
};

static struct gpu gpus[MOST_GPUS];
static struct gpu slices[MOST_GPUS * MOST_SLICES];
static struct fault faults[MOST_FAULTS];
static int n_gpus, n_slices, n_faults, started, loaded;
static int stepping, manual;
static double step_s, virtual_s, start_s, armed_s = -1, reset_ms = -1;

static double clock_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void copy(char *to, const char *from) {
    snprintf(to, 96, "%s", from);
    for (; *to; to++)
        if (*to == '_') *to = ' ';
}

static void set(struct gpu *g, const char *key, const char *value) {
    if (!strcmp(key, "name")) copy(g->name, value);
    else if (!strcmp(key, "uuid")) copy(g->uuid, value);
    else if (!strcmp(key, "process") && g->n_processes < MOST_PROCESSES) {
        sscanf(value, "%u:%llu", &g->pid[g->n_processes], &g->held_mib[g->n_processes]);
        g->n_processes++;
    } else {
        for (int i = 0; i < KEYS; i++)
            if (!strcmp(key, NAMES[i])) {
                g->value[i] = atoll(value);
                g->known[i] = 1;
                return;
            }
        fprintf(stderr, "replay: no key %s\n", key);
        abort(); /* a misspelt scenario must not pass for a device that lacks something */
    }
}

static void set_all(struct gpu *g) {
    char *key, *value;
    while ((key = strtok(NULL, " \n")) && (value = strtok(NULL, " \n"))) set(g, key, value);
}

static void statement(char *line) {
    char *word = strtok(line, " \n");
    if (!word || *word == '#') return;
    if (!strcmp(word, "gpu")) {
        gpus[n_gpus].index = n_gpus;
        set_all(&gpus[n_gpus++]);
    } else if (!strcmp(word, "slice")) {
        struct gpu *board = &gpus[n_gpus - 1], *s = &slices[n_slices++];
        s->board = board;
        s->index = board->index;
        board->slice[board->n_slices++] = s;
        set_all(s);
    } else if (!strcmp(word, "clock")) {
        word = strtok(NULL, " \n");
        stepping = !strcmp(word, "step");
        manual = !strcmp(word, "manual");
        if (stepping) step_s = atof(strtok(NULL, " \n")) / 1000;
    } else if (!strcmp(word, "trace")) {
        trace_read(&gpus[n_gpus - 1].trace, strtok(NULL, " \n"));
    } else if (!strcmp(word, "missing")) {
        struct fault *f = &faults[n_faults++];
        snprintf(f->symbol, sizeof f->symbol, "%s", strtok(NULL, " \n"));
        f->gpu = ANY;
        f->code = FUNCTION_NOT_FOUND;
    } else if (!strcmp(word, "after")) {
        struct fault *f = &faults[n_faults++];
        snprintf(f->symbol, sizeof f->symbol, "%s", strtok(NULL, " \n"));
        word = strtok(NULL, " \n");
        f->gpu = *word == '*' ? ANY : atoi(word);
        f->after_ms = atoi(strtok(NULL, " \n"));
        f->code = atoi(strtok(NULL, " \n"));
    } else if (!strcmp(word, "reset")) {
        reset_ms = atof(strtok(NULL, " \n"));
    } else if (!strcmp(word, "hang")) {
        struct fault *f = &faults[n_faults++];
        snprintf(f->symbol, sizeof f->symbol, "%s", strtok(NULL, " \n"));
        f->gpu = ANY;
        f->from = atoi(strtok(NULL, " \n"));
        f->hang_ms = atoi(strtok(NULL, " \n"));
    } else if (!strcmp(word, "fail")) {
        struct fault *f = &faults[n_faults++];
        snprintf(f->symbol, sizeof f->symbol, "%s", strtok(NULL, " \n"));
        word = strtok(NULL, " \n");
        f->gpu = *word == '*' ? ANY : atoi(word);
        f->from = atoi(strtok(NULL, " \n"));
        f->code = atoi(strtok(NULL, " \n"));
    } else {
        fprintf(stderr, "replay: no statement %s\n", word);
        abort();
    }
}

static void load(void) {
    const char *path = getenv("DLBENCH_NVML_REPLAY");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[1024];
    if (!file) {
        fprintf(stderr, "replay: no scenario in DLBENCH_NVML_REPLAY\n");
        abort();
    }
    while (fgets(line, sizeof line, file)) statement(line);
    fclose(file);
    start_s = clock_s();
    loaded = 1;
}

static double moment_s(void) { return manual || stepping ? virtual_s : clock_s() - start_s; }
static int passed(double ms) { return armed_s >= 0 && (moment_s() - armed_s) * 1e3 >= ms; }

/* The code that a call must answer: an injected one, or OK. */
static int check(const char *symbol, const struct gpu *g) {
    for (int i = 0; i < n_faults; i++) {
        struct fault *f = &faults[i];
        if (strcmp(f->symbol, symbol) || (f->gpu != ANY && (!g || f->gpu != g->index))) continue;
        if (f->after_ms && !passed(f->after_ms)) continue;
        if (++f->calls < f->from) continue;
        if (!f->hang_ms) return f->code;
        struct timespec span = {f->hang_ms / 1000, f->hang_ms % 1000 * 1000000L};
        nanosleep(&span, NULL);
    }
    return started ? OK : UNINITIALIZED;
}
#define CHECK(g)                              \
    do {                                      \
        int code_ = check(__func__, g);       \
        if (code_ != OK) return code_;        \
    } while (0)

static int number(const struct gpu *g, int key, unsigned *out) {
    if (!g->known[key]) return NOT_SUPPORTED;
    *out = (unsigned)g->value[key];
    return OK;
}
#define NUMBER(symbol, key)                                  \
    int symbol(struct gpu *g, unsigned *out) {               \
        CHECK(g);                                            \
        return number(g, key, out);                          \
    }
#define TWICE(symbol, key)                                           \
    int symbol(struct gpu *g, unsigned *now, unsigned *pending) {    \
        CHECK(g);                                                    \
        int code = number(g, key, now);                              \
        if (code == OK) *pending = *now;                             \
        return code;                                                 \
    }
#define BY_CLOCK(symbol)                                             \
    int symbol(struct gpu *g, unsigned type, unsigned *out) {        \
        CHECK(g);                                                    \
        return number(g, type == 1 ? SM : MEM, out);                 \
    }

/* --- time, which a test may set --- */

void replay_set_clock(double now_s) { virtual_s = now_s; }
void replay_set_load(int on, double at_s) {
    for (int i = 0; i < n_gpus; i++) {
        struct trace *t = &gpus[i].trace;
        if (on) {
            t->span[t->n_spans][0] = at_s;
            t->span[t->n_spans++][1] = 1e18;
        } else t->span[t->n_spans - 1][1] = at_s;
    }
}
double replay_now(void) { return moment_s(); }
void replay_arm(double at_s) { armed_s = at_s; }
double replay_true_j(void) { return trace_j(&gpus[0].trace, moment_s()); }

/* --- the library as a whole --- */

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    if (!loaded) load();
    started = 1;
    int code = check(__func__, NULL);
    started = code == OK;
    return code;
}
int nvmlShutdown(void) { started = 0; return OK; }
const char *nvmlErrorString(int code) { (void)code; return "replayed error"; }

int nvmlSystemGetDriverVersion(char *out, unsigned size) {
    CHECK(NULL);
    snprintf(out, size, "550.54.15");
    return OK;
}
int nvmlSystemGetNVMLVersion(char *out, unsigned size) {
    CHECK(NULL);
    snprintf(out, size, "12.550.54.15");
    return OK;
}
int nvmlSystemGetCudaDriverVersion(int *out) { CHECK(NULL); *out = 12040; return OK; }

/* --- handles --- */

int nvmlDeviceGetCount_v2(unsigned *out) { CHECK(NULL); *out = (unsigned)n_gpus; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct gpu **out) {
    if (index >= (unsigned)n_gpus) return NOT_FOUND;
    CHECK(&gpus[index]);
    *out = &gpus[index];
    return OK;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, struct gpu **out) {
    *out = NULL;
    for (int i = 0; i < n_gpus; i++)
        if (!strcmp(gpus[i].uuid, uuid)) *out = &gpus[i];
    for (int i = 0; i < n_slices; i++)
        if (!strcmp(slices[i].uuid, uuid)) *out = &slices[i];
    CHECK(*out);
    return *out ? OK : NOT_FOUND;
}
int nvmlDeviceGetMaxMigDeviceCount(struct gpu *g, unsigned *out) {
    CHECK(g);
    *out = MOST_SLICES;
    return OK;
}
int nvmlDeviceGetMigDeviceHandleByIndex(struct gpu *g, unsigned index, struct gpu **out) {
    CHECK(g);
    if (index >= (unsigned)g->n_slices) return NOT_FOUND;
    *out = g->slice[index];
    return OK;
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(struct gpu *g, struct gpu **out) {
    CHECK(g);
    *out = g->board;
    return g->board ? OK : NOT_FOUND;
}

/* --- what a device is --- */

int nvmlDeviceGetName(struct gpu *g, char *out, unsigned size) {
    CHECK(g);
    snprintf(out, size, "%s", g->name);
    return OK;
}
int nvmlDeviceGetUUID(struct gpu *g, char *out, unsigned size) {
    CHECK(g);
    snprintf(out, size, "%s", g->uuid);
    return OK;
}
int nvmlDeviceGetMemoryInfo(struct gpu *g, unsigned long long *out) {
    CHECK(g);
    if (!g->known[MEMORY]) return NOT_SUPPORTED;
    out[0] = (unsigned long long)g->value[MEMORY] << 20;
    out[2] = (unsigned long long)g->value[USED] << 20;
    out[1] = out[0] - out[2];
    return OK;
}
struct memory_v2 {
    unsigned version;
    unsigned long long total, reserved, free, used;
};
int nvmlDeviceGetMemoryInfo_v2(struct gpu *g, struct memory_v2 *out) {
    CHECK(g);
    if (!g->known[RESERVED]) return FUNCTION_NOT_FOUND;
    out->total = (unsigned long long)g->value[MEMORY] << 20;
    out->reserved = (unsigned long long)g->value[RESERVED] << 20;
    out->used = (unsigned long long)g->value[USED] << 20;
    out->free = out->total - out->used - out->reserved;
    return OK;
}
int nvmlDeviceGetCudaComputeCapability(struct gpu *g, unsigned *major, unsigned *minor) {
    CHECK(g);
    int code = number(g, MAJOR, major);
    return code == OK ? number(g, MINOR, minor) : code;
}
NUMBER(nvmlDeviceGetNumGpuCores, CORES)
NUMBER(nvmlDeviceGetEnforcedPowerLimit, LIMIT)
NUMBER(nvmlDeviceGetPowerManagementDefaultLimit, DEFAULT)
NUMBER(nvmlDeviceGetPersistenceMode, PERSISTENCE)
NUMBER(nvmlDeviceGetVirtualizationMode, VIRTUAL)
NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, PCIE)
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, PCIE)
TWICE(nvmlDeviceGetMigMode, MIG)
TWICE(nvmlDeviceGetEccMode, ECC)
BY_CLOCK(nvmlDeviceGetMaxClockInfo)
BY_CLOCK(nvmlDeviceGetClockInfo)

/* --- what it does --- */

static int energy_mj(struct gpu *g, unsigned long long *out) {
    if (!g->known[BASE]) return NOT_SUPPORTED;
    if (stepping) virtual_s += step_s;
    double now_s = moment_s(), period_s = (double)g->value[PERIOD] / 1000;
    if (g->trace.known) {
        double base_mj = (double)g->value[BASE];
        if (reset_ms >= 0 && passed(reset_ms)) base_mj = -trace_counter_mj(&g->trace, armed_s);
        *out = (unsigned long long)(base_mj + trace_counter_mj(&g->trace, now_s));
        return OK;
    }
    if (period_s > 0) now_s = (double)(long long)(now_s / period_s + 1e-9) * period_s;
    *out = (unsigned long long)((double)g->value[BASE] + (double)g->value[POWER] * now_s + 0.5);
    return OK;
}
int nvmlDeviceGetTotalEnergyConsumption(struct gpu *g, unsigned long long *out) {
    CHECK(g);
    return energy_mj(g, out);
}
static int sensor_mw(struct gpu *g, int key, unsigned *out) {
    if (g->known[key] && g->trace.known) {
        *out = (unsigned)(trace_sensor_mw(&g->trace, moment_s()) + 0.5);
        return OK;
    }
    return number(g, key, out);
}
int nvmlDeviceGetPowerUsage(struct gpu *g, unsigned *out) {
    CHECK(g);
    return sensor_mw(g, POWER, out);
}
/* What other tools ask for, and would not read this GPU without. */
int nvmlDeviceGetComputeMode(struct gpu *g, unsigned *out) { CHECK(g); *out = 0; return OK; }
int nvmlDeviceGetDisplayMode(struct gpu *g, unsigned *out) { CHECK(g); *out = 0; return OK; }
int nvmlDeviceGetGraphicsRunningProcesses_v3(struct gpu *g, unsigned *count, void *out) {
    (void)out;
    CHECK(g);
    *count = 0;
    return OK;
}
NUMBER(nvmlDeviceGetPowerManagementLimit, LIMIT)
NUMBER(nvmlDeviceGetArchitecture, ARCH)
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, WIDTH)
int nvmlDeviceGetPcieThroughput(struct gpu *g, unsigned counter, unsigned *out) {
    (void)counter;
    CHECK(g);
    return number(g, PCIE_KBS, out);
}

/* --- fields: each has a code of its own --- */

struct field {
    unsigned id, scope;
    long long timestamp, latency_us;
    unsigned type;
    int code;
    union {
        double d;
        unsigned u;
        unsigned long long ull;
    } value;
};
static int field(struct gpu *g, struct field *f) {
    char name[32];
    snprintf(name, sizeof name, "field%u", f->id);
    int code = check(name, g);
    if (code != OK) return code;
    f->type = 1; /* NVML_VALUE_TYPE_UNSIGNED_INT */
    if (f->id == 186 && f->scope == 1) return number(g, MODULE, &f->value.u);
    if (f->id == 186 && f->scope == 0) return sensor_mw(g, INSTANT, &f->value.u);
    if (f->id == 185 && f->scope == 0) return sensor_mw(g, AVERAGE, &f->value.u);
    f->type = 3; /* NVML_VALUE_TYPE_UNSIGNED_LONG_LONG */
    if (f->id == 83 && g->known[ENERGY_FIELD]) return energy_mj(g, &f->value.ull);
    int key = f->id == 74 ? POWER_CAP : f->id == 269 ? SW_THERMAL : f->id == 270 ? HW_THERMAL
            : f->id == 271 ? BRAKE : -1;
    if (key < 0 || !g->known[key]) return NOT_SUPPORTED;
    /* Microseconds of throttling in each second; shown in nanoseconds. */
    f->value.ull = (unsigned long long)((double)g->value[key] * moment_s() * 1e3);
    return OK;
}
int nvmlDeviceGetFieldValues(struct gpu *g, int count, struct field *fields) {
    CHECK(g);
    for (int i = 0; i < count; i++) fields[i].code = field(g, &fields[i]);
    return OK;
}
int nvmlDeviceGetTemperature(struct gpu *g, unsigned sensor, unsigned *out) {
    (void)sensor;
    CHECK(g);
    return number(g, CELSIUS, out);
}
struct temperature {
    unsigned version, sensor, celsius;
};
int nvmlDeviceGetTemperatureV(struct gpu *g, struct temperature *out) {
    CHECK(g);
    return number(g, CELSIUS_V, &out->celsius);
}
int nvmlDeviceGetUtilizationRates(struct gpu *g, unsigned *out) {
    CHECK(g);
    out[1] = 0;
    return number(g, UTILISATION, &out[0]);
}
#define BITS(symbol, key)                                    \
    int symbol(struct gpu *g, unsigned long long *out) {     \
        CHECK(g);                                            \
        if (!g->known[key]) return NOT_SUPPORTED;            \
        *out = (unsigned long long)g->value[key];            \
        return OK;                                           \
    }
BITS(nvmlDeviceGetCurrentClocksThrottleReasons, REASONS)
BITS(nvmlDeviceGetCurrentClocksEventReasons, EVENTS)
struct process {
    unsigned pid;
    unsigned long long used;
    unsigned gpu_instance, compute_instance;
};
int nvmlDeviceGetComputeRunningProcesses_v3(struct gpu *g, unsigned *count, struct process *out) {
    CHECK(g);
    unsigned room = *count;
    *count = (unsigned)g->n_processes;
    if (g->n_processes == 0) return OK;
    if (!out || room < *count) return INSUFFICIENT_SIZE;
    for (int i = 0; i < g->n_processes; i++) {
        out[i].pid = g->pid[i];
        out[i].used = g->held_mib[i] << 20;
    }
    return OK;
}
