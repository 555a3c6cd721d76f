# Reads the results of compare.sh: workload, server, queries a second, CPU in µs a query, p99 in µs, KiB. Gives medians.
BEGIN {
    FS = "\t"
    QPS = 3; CPU = 4; P99 = 5; MEMORY = 6
}

{
    cell = $1 FS $2
    if (!(cell in runs)) { if (!($1 in known)) { known[$1] = 1; workloads[++workload_count] = $1 } }
    if (!($2 in known_server)) { known_server[$2] = 1; servers[++server_count] = $2 }
    runs[cell]++
    for (field = QPS; field <= MEMORY; field++) value[cell, field, runs[cell]] = $field
}

function median(workload, server, field,    cell, n, i, j, swap, sorted) {
    cell = workload FS server
    n = runs[cell]
    for (i = 1; i <= n; i++) {
        sorted[i] = value[cell, field, i] + 0
        for (j = i; j > 1 && sorted[j - 1] > sorted[j]; j--) { swap = sorted[j]; sorted[j] = sorted[j - 1]; sorted[j - 1] = swap }
    }
    return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}
