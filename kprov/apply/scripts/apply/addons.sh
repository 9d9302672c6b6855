refuse() { # what an add-on met: it is told, and the next one has its turn
    printf 'refused\t%s\t%s\n' "$number" "$(printf %s "$1" | base64 -w0)"
    refused=yes
}

server_side() { kubectl apply --server-side --field-manager=kprov -f "$1"; } # no force: what others own is not taken

do_addon() { # addon, payload, recreated, again: a payload with workloads that may be made again, or -
    limit=$(($(date +%s) + 60))
    until log=$(server_side "$stage/payload/$2"); do
        if [ "$3" != - ] && printf %s "$log" | grep -Eqi 'field is immutable|spec for fields other than'; then
            log=$(kubectl delete --ignore-not-found --timeout=60s -f "$stage/payload/$3") || { refuse "$log"; return; }
            set -- "$1" "$2" - "$4"
            continue
        fi
        # A kind that was made a moment ago is not known yet, and a webhook's pods may still start.
        if printf %s "$log" | grep -Eqi 'conflict with|is invalid|immutable' || [ "$(date +%s)" -ge $limit ] ||
            ! printf %s "$log" | grep -Eqi -e "$4"; then
            refuse "$log"; : > "$stage/refused.$1"; return
        fi
        sleep 0.5
    done
}

do_addon_ready() { # addon, kind, namespace, name, seconds
    [ ! -e "$stage/refused.$1" ] || return 0 # it was told already
    limit=$(($(date +%s) + $5)); stuck=0; labels=
    until addon_is_ready "$2" "$3" "$4"; do
        [ -n "$labels" ] || labels=$(pod_labels "$2" "$3" "$4")
        log=$(unready_pods "$3" "$labels")
        # Three attempts of the kubelet are enough: what a registry does not give by then, it does not give.
        case $log in
        *': ErrImagePull: '* | *': ImagePullBackOff: '* | *': InvalidImageName: '*) stuck=$((stuck + 1)) ;;
        *) stuck=0 ;;
        esac
        if [ $stuck -ge 10 ] || [ "$(date +%s)" -ge $limit ]; then
            refuse "$2 $4 is not ready: $(head -n 1 "$stage/ready")
$log"
            return
        fi
        say wait "$number"
        sleep 1
    done
}

addon_is_ready() { # kind, namespace, name
    case $1 in
    apiservice) kubectl wait --for=condition=Available --timeout=2s "apiservice/$3" > "$stage/ready" ;;
    *) kubectl -n "$2" rollout status --timeout=2s "$1/$3" > "$stage/ready" ;;
    esac
}

pod_labels() { # kind, namespace, name: what its pods carry, as kubectl takes it; nothing when that cannot be said
    [ "$1" != apiservice ] || return 0
    log=$(kubectl -n "$2" get "$1/$3" \
        -o 'go-template={{range $k, $v := .spec.selector.matchLabels}}{{$k}}={{$v}},{{end}}') &&
        printf %s "${log%,}"
}

# The pods that are not ready, and where; below each what it says, and each container that waits: image, reason,
# message.
UNREADY='{{define "waits"}}{{$image := .image}}{{with .state.waiting}}  {{$image}}: {{.reason}}: {{with .message -}}
{{.}}{{end}}
{{end}}{{end}}{{range .items}}pod {{.metadata.name}}{{with .spec.nodeName}} on {{.}}{{end}}
{{range .status.conditions}}{{if and (eq .status "False") (eq .type "Ready" "PodScheduled")}}  {{with .message -}}
{{.}}{{end}}
{{end}}{{end}}{{range .status.initContainerStatuses}}{{template "waits" .}}{{end -}}
{{range .status.containerStatuses}}{{template "waits" .}}{{end}}{{end}}'

unready_pods() { # namespace, labels or nothing
    kubectl -n "$1" get pods ${2:+-l "$2"} -o "go-template=$UNREADY" |
        awk '/^pod / {pod = $0; next} pod != "" {print pod; pod = ""} {print}' | head -n 20
}
