# The table of compare.sh: awk -f medians.awk -f table.awk FILE. Ratios are of CPU time; over TCP there is no floor.
# "+-" is half the distance between the lowest and the highest round, relative to the median.
END {
    printf "%-66s %-13s %9s %8s %7s %8s %8s %9s\n", "workload", "server", "qps", "CPU us", "+-", "p99 us", "MiB", "x floor"
    for (w = 1; w <= workload_count; w++) for (s = 1; s <= server_count; s++) {
        workload = workloads[w]; server = servers[s]; cell = workload FS server
        if (!(cell in runs)) continue
        cpu = median(workload, server, CPU)
        low = high = value[cell, CPU, 1]
        for (i = 2; i <= runs[cell]; i++) {
            if (value[cell, CPU, i] < low) low = value[cell, CPU, i]
            if (value[cell, CPU, i] > high) high = value[cell, CPU, i]
        }
        ratio = (workload FS "floor") in runs ? sprintf("%.2f", cpu / median(workload, "floor", CPU)) : "-"
        printf "%-66s %-13s %9.0f %8.2f %6.1f%% %8.0f %8.1f %9s\n", title[workload], server, median(workload, server, QPS), cpu, \
            (high - low) / 2 / cpu * 100, median(workload, server, P99), median(workload, server, MEMORY) / 1024, ratio
    }
}
