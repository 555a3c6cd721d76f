# The chart of compare.sh as SVG: awk -f medians.awk -f plot.awk FILE. CPU time per query, a group of bars for each workload.
# UDP and TCP have a scale each, and so have large answers.
function text(x, y, class, what) {
    printf "<text x=\"%d\" y=\"%d\" class=\"%s\">%s</text>\n", x, y, class, what
}

function scale_of(workload) {
    return workload ~ /\/all-[0-9][0-9][0-9]+$/ ? "large" : substr(workload, 1, 3)
}

END {
    width = 760; left = 120; right = 70; bar = 15; gap = 3; head = 22; between = 16; top = 76
    colour["floor"] = "#9aa0a6"; colour["headless-dns"] = "#d9480f"; colour["knot"] = "#4c78a8"; colour["nsd"] = "#72b7b2"
    height = top
    for (w = 1; w <= workload_count; w++) {
        height += head + between
        for (s = 1; s <= server_count; s++) if ((workloads[w] FS servers[s]) in runs) {
            cpu = median(workloads[w], servers[s], CPU)
            if (cpu > most[scale_of(workloads[w])]) most[scale_of(workloads[w])] = cpu
            height += bar + gap
        }
    }
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"CPU time per query\">\n", width, height
    print "<style>text{font:13px system-ui,sans-serif;fill:#333}.title{font-weight:600;font-size:16px}.group{font-weight:600}.name{fill:#666}"
    print "@media(prefers-color-scheme:dark){text{fill:#ddd}.name{fill:#aaa}}</style>"
    text(12, 24, "title", "CPU time of the server per query, µs (less is better)")
    text(12, 44, "name", "One core, one worker, medians of one run. The floor answers every query with one fixed record.")
    text(12, 62, "name", "The groups of UDP, of TCP and of the large answer each have their own scale.")
    y = top
    for (w = 1; w <= workload_count; w++) {
        y += head
        text(12, y - 6, "group", title[workloads[w]])
        for (s = 1; s <= server_count; s++) if ((workloads[w] FS servers[s]) in runs) {
            cpu = median(workloads[w], servers[s], CPU)
            length_of_bar = (width - left - right) * cpu / most[scale_of(workloads[w])]
            text(24, y + bar - 3, "name", servers[s])
            printf "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\" fill=\"%s\"/>\n", left, y, length_of_bar, bar, \
                (servers[s] in colour) ? colour[servers[s]] : "#888"
            text(left + length_of_bar + 6, y + bar - 3, "name", sprintf("%.2f", cpu))
            y += bar + gap
        }
        y += between
    }
    print "</svg>"
}
