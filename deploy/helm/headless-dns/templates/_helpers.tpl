{{- define "headless-dns.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "headless-dns.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 54 | trimSuffix "-" }}
{{- else if contains (include "headless-dns.name" .) .Release.Name -}}
{{ .Release.Name | trunc 54 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "headless-dns.name" .) | trunc 54 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "headless-dns.selector" -}}
app.kubernetes.io/name: {{ include "headless-dns.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "headless-dns.labels" -}}
{{ include "headless-dns.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "headless-dns.serviceAccount" -}}
{{- if eq .Values.mode "sidecar" -}}
{{ .Values.sidecar.serviceAccountName }}
{{- else if .Values.serviceAccount.create -}}
{{ default (include "headless-dns.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{- define "headless-dns.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* Whether it is Pods with a Service that are installed. */ -}}
{{- define "headless-dns.hasService" -}}
{{- if has .Values.mode (list "cluster" "namespace" "primary") }}true{{ end -}}
{{- end }}

{{- /* The options that differ from the program's defaults: of the mode, made of other values, and of `config`. */ -}}
{{- define "headless-dns.config" -}}
{{- $file := dict "node" "node" "sidecar" "sidecar" | dig .Values.mode "cluster" -}}
{{- $config := .Files.Get (printf "modes/%s.yaml" $file) | fromYaml -}}
{{- if eq .Values.mode "namespace" -}}
{{- $_ := set $config "namespaces" (list .Release.Namespace) -}}
{{- else if eq .Values.mode "node" -}}
{{- /* Two Pods share the network of a node while one replaces the other. */ -}}
{{- $_ := set $config "probes" (printf "$(NODE_IP):%d" (ternary 8054 8055 (eq (mod .Release.Revision 2) 1))) -}}
{{- else if and (eq .Values.mode "primary") .Values.primary.keysSecret -}}
{{- $_ := set $config "transfer_keys" (list "/etc/headless-dns-transfer/keys") -}}
{{- end -}}
{{- if .Values.tls.secretName -}}
{{- $_ := set $config "tls_cert" "/etc/headless-dns-tls/tls.crt" -}}
{{- $_ := set $config "tls_key" "/etc/headless-dns-tls/tls.key" -}}
{{- end -}}
{{- range $key, $value := .Values.config -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $config $key -}}
{{- else -}}
{{- $_ := set $config $key $value -}}
{{- end -}}
{{- end -}}
{{ toYaml $config }}
{{- end }}

{{- /* The options as a file. Numbers, texts and lists of texts are written alike in JSON and TOML. */ -}}
{{- define "headless-dns.toml" -}}
{{- range $key, $value := include "headless-dns.config" . | fromYaml -}}
{{ $key }} = {{ toJson $value }}
{{ end -}}
{{- end }}

{{- /* The options as variables. */ -}}
{{- define "headless-dns.variables" -}}
{{- range $key, $value := include "headless-dns.config" . | fromYaml }}
- name: HEADLESS_DNS_{{ upper $key }}
  value: {{ if kindIs "slice" $value }}{{ join "," $value | quote }}{{ else if kindIs "string" $value }}{{ quote $value }}{{ else }}{{ toJson $value | quote }}{{ end }}
{{- end }}
{{- end }}

{{- /* The port of an address. */ -}}
{{- define "headless-dns.port" -}}
{{- $port := regexFind ":[0-9]+$" (default "" .) | trimPrefix ":" -}}
{{- required "config.listen and config.probes are addresses with a port here, such as 0.0.0.0:8054" $port -}}
{{- end }}

{{- /* Listening addresses by option, with the names, the protocols and the well-known ports of what is asked there. */ -}}
{{- define "headless-dns.transports" -}}
- {option: listen, name: dns-udp, protocol: UDP, port: 53}
- {option: listen, name: dns-tcp, protocol: TCP, port: 53}
- {option: tls_listen, name: dns-tls, protocol: TCP, port: 853}
- {option: https_listen, name: dns-https, protocol: TCP, port: 443}
- {option: quic_listen, name: dns-quic, protocol: UDP, port: 853}
{{- end }}

{{- /* Those that are on: the port of the container as well, which is that of the first address. */ -}}
{{- define "headless-dns.ports" -}}
{{- $config := include "headless-dns.config" . | fromYaml -}}
{{- $ports := list -}}
{{- $_ := include "headless-dns.port" (first (default list $config.listen)) -}}
{{- range include "headless-dns.transports" . | fromYamlArray -}}
{{- $addresses := get $config .option -}}
{{- if $addresses -}}
{{- $ports = append $ports (set . "containerPort" (include "headless-dns.port" (first $addresses) | int)) -}}
{{- end -}}
{{- end -}}
{{ toYaml $ports }}
{{- end }}

{{- define "headless-dns.resources" -}}
{{- $config := include "headless-dns.config" . | fromYaml -}}
{{- $requests := dict "cpu" "100m" "memory" "64Mi" -}}
{{- if eq .Values.mode "node" -}}
{{- $requests = dict "cpu" "25m" "memory" "32Mi" -}}
{{- else if eq .Values.mode "sidecar" -}}
{{- $requests = dict "cpu" "10m" "memory" "16Mi" -}}
{{- end -}}
{{- $limits := deepCopy .Values.resources.limits -}}
{{- if $config.memory_limit -}}
{{- $_ := set $limits "memory" (printf "%dMi" (int $config.memory_limit)) -}}
{{- end -}}
requests:
  {{- ternary $requests .Values.resources.requests (kindIs "invalid" .Values.resources.requests) | toYaml | nindent 2 }}
{{- with $limits }}
limits:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* The same in every container but for the capabilities that are added. */ -}}
{{- define "headless-dns.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
{{- end }}

{{- define "headless-dns.priorityClass" -}}
{{- if not (kindIs "invalid" .Values.priorityClassName) -}}
{{ .Values.priorityClassName }}
{{- else if eq .Values.mode "node" -}}
system-node-critical
{{- else if ne .Values.mode "namespace" -}}
system-cluster-critical
{{- end -}}
{{- end }}

{{- /* What is watched, and nothing else. */ -}}
{{- define "headless-dns.rules" -}}
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- end }}

{{- define "headless-dns.subjects" -}}
- kind: ServiceAccount
  name: {{ include "headless-dns.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
