# Reads the raw figures of compare.sh: workload, server, queries per second, CPU in µs per query, p99 in µs, KiB. Has medians
# of them and what readers call the workloads.
BEGIN {
    FS = "\t"
    QPS = 3; CPU = 4; P99 = 5; MEMORY = 6

    title["udp/main/mix"] = "Mixed questions, 200 Services"
    title["udp/main/ordinal"] = "One Pod's name, 200 Services"
    title["udp/main/endpoints-10"] = "One Pod's name, Service with 10 endpoints"
    title["udp/main/endpoints-1000"] = "One Pod's name, Service with 1,000 endpoints"
    title["udp/main/endpoints-5000"] = "One Pod's name, Service with 5,000 endpoints"
    title["udp/main/all-10"] = "All Pods of a Service with 10 endpoints"
    title["udp/services-100/ordinal"] = "One Pod's name, 100 Services"
    title["udp/services-10000/ordinal"] = "One Pod's name, 10,000 Services"
    title["udp/forward/ordinal"] = "One Pod's name, 200 Services, where others are forwarded"
    title["udp/forward/hits"] = "A name of others, from the cache"
    title["tcp/main/mix"] = "Mixed questions over TCP, 200 Services"
    title["tcp/main/ordinal"] = "One Pod's name over TCP, 200 Services"
    title["udp/main/all-5000"] = "All Pods of a Service with 5,000 endpoints, truncated"
    title["tcp/main/all-10"] = "All Pods of a Service with 10 endpoints over TCP"
    title["tcp/main/all-1000"] = "All Pods of a Service with 1,000 endpoints over TCP"
    option["edns"] = ", EDNS"; option["subnet"] = ", client subnet"; option["cookie"] = ", cookie"
}

!/^#/ && NF {
    cell = $1 FS $2
    if (!($1 in known)) { known[$1] = 1; workloads[++workload_count] = $1; entitle($1) }
    if (!($2 in known_server)) { known_server[$2] = 1; servers[++server_count] = $2 }
    runs[cell]++
    for (field = QPS; field <= MEMORY; field++) value[cell, field, runs[cell]] = $field
}

# Titles a workload, by its name without the option and the option.
function entitle(workload,    parts) {
    split(workload, parts, "+")
    title[workload] = ((parts[1] in title) ? title[parts[1]] : parts[1]) option[parts[2]]
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
