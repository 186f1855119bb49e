{{- define "evp.labels" -}}
app.kubernetes.io/part-of: evp
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/name: evp-{{ .name }}
{{- end }}

{{- /* The services, with their ports; mongo: whether they speak to MongoDB. */ -}}
{{- define "evp.services" -}}
ingest: { http: 8080, admin: 9180, mongo: false }
processor: { admin: 9181, mongo: true }
aggregator: { http: 8090, admin: 9182, mongo: true }
{{- end }}

{{- /* The configuration of all three; what `config` says comes on top. */ -}}
{{- define "evp.config" -}}
{{- $origins := concat (list (printf "https://%s" .Values.hosts.dashboard)) .Values.origins -}}
{{- $own := dict
  "auth" (dict "mode" "keys")
  "server" (dict "plaintext" "behind_proxy" "trusted_proxies" .Values.trustedProxies)
  "shutdown" (dict "delay" (printf "%ds" (int .Values.shutdown.delay)) "grace" (printf "%ds" (int .Values.shutdown.grace)))
  "redis" (dict "durability" "fsync")
  "ingest" (dict "cors" (dict "origins" $origins))
  "canary" (dict "interval" "15s")
  "aggregator" (dict
    "public_url" (printf "https://%s" .Values.hosts.dashboard)
    "ingest_url" (printf "https://%s" .Values.hosts.ingest)) -}}
{{- include "evp.toml" (dict "prefix" "" "values" (mergeOverwrite $own (deepCopy .Values.config))) -}}
{{- end }}

{{- /* Not toToml: to Helm all numbers are floats, and 5000.0 is no whole number. */ -}}
{{- define "evp.toml" -}}
{{- $prefix := .prefix -}}
{{- range $key, $value := .values -}}
{{- if kindIs "map" $value -}}
{{- include "evp.toml" (dict "prefix" (printf "%s%s." $prefix $key) "values" $value) -}}
{{- else -}}
{{- printf "%s%s = %s\n" $prefix $key (toJson $value) -}}
{{- end -}}
{{- end -}}
{{- end }}
