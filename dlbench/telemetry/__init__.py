"""What is read of device and host beside a measured process, by a process of its own."""
