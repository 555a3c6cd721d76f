# The chart of compare.sh as SVG: awk -f medians.awk -f plot.awk RESULTS. CPU a query, a group of bars for each workload.
function text(x, y, class, anchor, what) {
    printf "<text x=\"%d\" y=\"%d\" class=\"%s\" text-anchor=\"%s\">%s</text>\n", x, y, class, anchor, what
}

END {
    width = 760; left = 210; right = 110; bar = 16; gap = 3; between = 20; top = 56
    colour["floor"] = "#9aa0a6"; colour["headless-dns"] = "#d9480f"; colour["knot"] = "#4c78a8"; colour["nsd"] = "#72b7b2"
    most = 0; height = top
    for (w = 1; w <= workload_count; w++) {
        height += between
        for (s = 1; s <= server_count; s++) if ((workloads[w] FS servers[s]) in runs) {
            cpu = median(workloads[w], servers[s], CPU)
            if (cpu > most) most = cpu
            height += bar + gap
        }
    }
    height += between
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"CPU time a query\">\n", width, height
    print "<style>text{font:13px system-ui,sans-serif;fill:#333}.title{font-weight:600;font-size:16px}.name{fill:#666}"
    print "@media(prefers-color-scheme:dark){text{fill:#ddd}.name{fill:#aaa}}</style>"
    text(12, 24, "title", "start", "CPU time of the server a query, µs (less is better)")
    text(12, 44, "name", "start", "one core, one worker, medians of one run; the floor answers every query with one fixed record")
    y = top
    for (w = 1; w <= workload_count; w++) {
        y += between
        text(12, y + bar - 4, "", "start", workloads[w])
        for (s = 1; s <= server_count; s++) if ((workloads[w] FS servers[s]) in runs) {
            cpu = median(workloads[w], servers[s], CPU)
            length_of_bar = (width - left - right) * cpu / most
            printf "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\" fill=\"%s\"/>\n", left, y, length_of_bar, bar, \
                (servers[s] in colour) ? colour[servers[s]] : "#888"
            text(left + length_of_bar + 6, y + bar - 4, "name", "start", sprintf("%.2f %s", cpu, servers[s]))
            y += bar + gap
        }
    }
    print "</svg>"
}
