{{/*
The manifests themselves are those that kustomize installs: files/ holds links to them. Templates
read them, put the two namespaces in, and set what values.yaml names.
*/}}

{{- define "rcm.file" -}}
{{- if eq .root.Release.Namespace .root.Values.agent.namespace -}}
{{- fail "agent.namespace must not be the release's namespace: agents need one that is labelled privileged" -}}
{{- end -}}
{{- .root.Files.Get .name | replace "rcm-system" .root.Release.Namespace | replace "rcm-agents" .root.Values.agent.namespace -}}
{{- end -}}

{{- define "rcm.image" -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}

{{/* Sets in a Pod template what both programs have in values.yaml. */}}
{{- define "rcm.program" -}}
{{- $container := first .pod.containers -}}
{{- $_ := set $container "image" (include "rcm.image" (dict "root" .root "image" .values.image)) -}}
{{- if ne .values.image.pullPolicy "IfNotPresent" -}}
{{- $_ := set $container "imagePullPolicy" .values.image.pullPolicy -}}
{{- end -}}
{{- $_ := set $container "args" (concat $container.args .values.extraArgs) -}}
{{- $_ := set $container "resources" .values.resources -}}
{{- $_ := set .pod "nodeSelector" .values.nodeSelector -}}
{{- $_ := set .pod "tolerations" .values.tolerations -}}
{{- with .root.Values.imagePullSecrets -}}
{{- $_ := set $.pod "imagePullSecrets" . -}}
{{- end -}}
{{- end -}}

{{/* Where a distribution has containerd's configuration and its socket: as in manifests/overlays. */}}
{{- define "rcm.places" -}}
vanilla: {config: /etc/containerd, type: DirectoryOrCreate, containerd: /run/containerd}
k3s: {config: /var/lib/rancher/k3s/agent/etc/containerd, type: Directory, containerd: /run/k3s/containerd}
rke2: {config: /var/lib/rancher/rke2/agent/etc/containerd, type: Directory, containerd: /run/k3s/containerd}
k0s: {config: /etc/k0s/containerd.d, type: DirectoryOrCreate, containerd: /run/k0s}
microk8s: {config: /var/snap/microk8s/current/args, type: Directory, containerd: /var/snap/microk8s/common/run}
{{- end -}}
