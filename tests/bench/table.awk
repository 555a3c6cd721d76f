# The table of compare.sh: awk -f medians.awk -f table.awk RESULTS. Ratios are of CPU; that to the floor is left out where the
# floor has not run, which is over TCP.
END {
    printf "%-28s %-13s %9s %9s %8s %9s %9s\n", "workload", "server", "qps", "CPU µs", "p99 µs", "MiB", "x floor"
    for (w = 1; w <= workload_count; w++) for (s = 1; s <= server_count; s++) {
        workload = workloads[w]; server = servers[s]
        if (!((workload FS server) in runs)) continue
        cpu = median(workload, server, CPU)
        ratio = (workload FS "floor") in runs ? sprintf("%.2f", cpu / median(workload, "floor", CPU)) : "-"
        printf "%-28s %-13s %9.0f %9.2f %8.0f %9.1f %9s\n", workload, server, median(workload, server, QPS), cpu, \
            median(workload, server, P99), median(workload, server, MEMORY) / 1024, ratio
    }
}
