{{- /* What the Pods of every mode have in common, after the metadata. */ -}}
{{- define "headless-dns.podCommon" -}}
serviceAccountName: {{ include "headless-dns.serviceAccount" . }}
automountServiceAccountToken: true
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
# The variables that announce a Service named headless-dns would begin with HEADLESS_DNS_ like those of the options.
enableServiceLinks: false
# drain_timeout, the ten seconds that saving the state may take, and some to spare.
terminationGracePeriodSeconds: {{ dig "drain_timeout" 5 .Values.config | int | add 25 }}
{{- with include "headless-dns.priorityClass" . }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "headless-dns.podMetadata" -}}
labels:
  {{- include "headless-dns.selector" . | nindent 2 }}
  {{- with .Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  prometheus.io/scrape: "true"
  prometheus.io/port: {{ dig "probes" "" (include "headless-dns.config" . | fromYaml) | include "headless-dns.port" | quote }}
  {{- if include "headless-dns.hasService" . }}
  # Changed options roll the Pods.
  checksum/config: {{ include "headless-dns.toml" . | sha256sum }}
  {{- end }}
  {{- with .Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- /* The probes, of the port of this name or number. */ -}}
{{- define "headless-dns.probes" -}}
startupProbe:
  httpGet:
    path: /livez
    port: {{ . }}
  periodSeconds: 1
  failureThreshold: 30
livenessProbe:
  httpGet:
    path: /livez
    port: {{ . }}
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet:
    path: /readyz
    port: {{ . }}
  periodSeconds: 2
  # One hiccup turns nobody away. A Pod that is told to stop is out of its Services at once, whatever this says.
  failureThreshold: 3
  timeoutSeconds: 5
{{- end }}

{{- /* The Pods of cluster, namespace and primary. */ -}}
{{- define "headless-dns.podTemplate" -}}
{{- $config := include "headless-dns.config" . | fromYaml -}}
{{- $isPrimary := eq .Values.mode "primary" -}}
metadata:
  {{- include "headless-dns.podMetadata" . | nindent 2 }}
spec:
  {{- include "headless-dns.podCommon" . | nindent 2 }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  tolerations:
    {{- if kindIs "invalid" .Values.tolerations }}
    - key: CriticalAddonsOnly
      operator: Exists
    # A replica on a node that is lost is replaced after half a minute, not after five.
    - key: node.kubernetes.io/not-ready
      operator: Exists
      effect: NoExecute
      tolerationSeconds: 30
    - key: node.kubernetes.io/unreachable
      operator: Exists
      effect: NoExecute
      tolerationSeconds: 30
    {{- else }}
    {{- toYaml .Values.tolerations | nindent 4 }}
    {{- end }}
  topologySpreadConstraints:
    {{- if kindIs "invalid" .Values.topologySpreadConstraints }}
    - topologyKey: kubernetes.io/hostname
      maxSkew: 1
      # A cluster of one node is served too.
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "headless-dns.selector" . | nindent 10 }}
    {{- else }}
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
    {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    {{- if $isPrimary }}
    # The volume of the state belongs to this group.
    fsGroup: 65532
    {{- end }}
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: headless-dns
      image: {{ include "headless-dns.image" . }}
      {{- with .Values.image.pullPolicy }}
      imagePullPolicy: {{ . }}
      {{- end }}
      args: [serve, --config, /etc/headless-dns/headless-dns.toml]
      {{- if or $isPrimary .Values.env }}
      env:
        {{- if $isPrimary }}
        # The ordinal: no two replicas give one serial to two contents.
        - name: HEADLESS_DNS_REPLICA
          valueFrom:
            fieldRef:
              fieldPath: metadata.labels['apps.kubernetes.io/pod-index']
        {{- end }}
        {{- with .Values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      ports:
        {{- range include "headless-dns.ports" . | fromYamlArray }}
        - name: {{ .name }}
          containerPort: {{ .containerPort }}
          protocol: {{ .protocol }}
        {{- end }}
        - name: probes
          containerPort: {{ include "headless-dns.port" $config.probes }}
          protocol: TCP
      {{- include "headless-dns.probes" "probes" | nindent 6 }}
      resources:
        {{- include "headless-dns.resources" . | nindent 8 }}
      securityContext:
        {{- include "headless-dns.containerSecurity" . | nindent 8 }}
        capabilities:
          drop: [ALL]
      volumeMounts:
        - name: config
          mountPath: /etc/headless-dns
          readOnly: true
        {{- if and $isPrimary .Values.primary.keysSecret }}
        - name: transfer
          mountPath: /etc/headless-dns-transfer
          readOnly: true
        {{- end }}
        {{- with include "headless-dns.mounts" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "headless-dns.fullname" . }}
    {{- if and $isPrimary .Values.primary.keysSecret }}
    - name: transfer
      secret:
        secretName: {{ .Values.primary.keysSecret }}
    {{- end }}
    {{- if not $isPrimary }}
    {{- with include "headless-dns.stateVolume" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- end }}
    {{- with include "headless-dns.volumes" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end }}

{{- /* The state outlives the container and not the Pod: a container that crashes while the API server is away starts warm. */ -}}
{{- define "headless-dns.stateVolume" -}}
{{- if dig "state" "" (include "headless-dns.config" . | fromYaml) -}}
- name: state
  emptyDir:
    sizeLimit: 256Mi
{{- end }}
{{- end }}

{{- define "headless-dns.mounts" -}}
{{- with dig "state" "" (include "headless-dns.config" . | fromYaml) }}
- name: state
  mountPath: {{ . }}
{{- end }}
{{- if .Values.tls.secretName }}
- name: tls
  mountPath: /etc/headless-dns-tls
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "headless-dns.volumes" -}}
{{- with .Values.tls.secretName }}
- name: tls
  secret:
    secretName: {{ . }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
