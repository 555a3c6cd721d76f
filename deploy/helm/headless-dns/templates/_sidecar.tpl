{{- /* A strategic merge patch for a StatefulSet, as `kubectl patch --patch-file` takes it. */ -}}
{{- define "headless-dns.sidecar" -}}
{{- $config := include "headless-dns.config" . | fromYaml -}}
{{- $zone := dig "zones" (list "cluster.local") $config | first | trimSuffix "." -}}
{{- $probes := include "headless-dns.port" $config.probes -}}
spec:
  template:
    spec:
      # The sidecar is the only name server. `None` hides the address of the cluster's DNS, which is why `forward` names it.
      dnsPolicy: None
      dnsConfig:
        nameservers: [127.0.0.1]
        # What the kubelet gives to a Pod.
        searches: [{{ .Release.Namespace }}.svc.{{ $zone }}, svc.{{ $zone }}, {{ $zone }}]
        options:
          - name: ndots
            value: "5"
      securityContext:
        # Port 53 without a privilege, in this Pod's network alone; one of the sysctls that Kubernetes calls safe.
        sysctls:
          - name: net.ipv4.ip_unprivileged_port_start
            value: "53"
      # The sidecar starts before the application and its other init containers, and ends after them.
      initContainers:
        - name: headless-dns
          image: {{ include "headless-dns.image" . }}
          {{- with .Values.image.pullPolicy }}
          imagePullPolicy: {{ . }}
          {{- end }}
          restartPolicy: Always
          args: [serve]
          env:
            - name: HEADLESS_DNS_NAMESPACES
              valueFrom:
                fieldRef:
                  fieldPath: metadata.namespace
            {{- include "headless-dns.variables" . | trim | nindent 12 }}
            {{- with .Values.env }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          # The application starts when its peers can be found.
          startupProbe:
            httpGet:
              path: /readyz
              port: {{ $probes }}
            periodSeconds: 1
            failureThreshold: 60
          livenessProbe:
            httpGet:
              path: /livez
              port: {{ $probes }}
            periodSeconds: 10
            timeoutSeconds: 5
          # No readinessProbe: a Pod stays in its Services whatever becomes of its name server.
          resources:
            {{- include "headless-dns.resources" . | nindent 12 }}
          securityContext:
            runAsNonRoot: true
            runAsUser: 65532
            runAsGroup: 65532
            {{- include "headless-dns.containerSecurity" . | nindent 12 }}
            capabilities:
              drop: [ALL]
            seccompProfile:
              type: RuntimeDefault
          volumeMounts:
            - name: headless-dns-token
              mountPath: /var/run/secrets/kubernetes.io/serviceaccount
              readOnly: true
      volumes:
        # What the kubelet mounts where `automountServiceAccountToken` is on; here it is mounted whether or not the application
        # wants a token.
        - name: headless-dns-token
          projected:
            sources:
              - serviceAccountToken:
                  path: token
                  expirationSeconds: 3607
              - configMap:
                  name: kube-root-ca.crt
                  items:
                    - key: ca.crt
                      path: ca.crt
              - downwardAPI:
                  items:
                    - path: namespace
                      fieldRef:
                        fieldPath: metadata.namespace
{{- end }}
