// Prints, as JSON, the flags of one Kubernetes component as its own command defines them, hidden ones too, or the
// fields of its configuration types. It must be built in the pinned module of the version it is to describe.
package main

import (
	"encoding/json"
	"os"
	"reflect"
	"sort"
	"strings"

	"github.com/spf13/pflag"
	extensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apimachinery/pkg/runtime"
	webhookadmission "k8s.io/apiserver/pkg/admission/plugin/webhook/config/apis/webhookadmission/v1"
	apiserverconfig "k8s.io/apiserver/pkg/apis/apiserver/v1"
	audit "k8s.io/apiserver/pkg/apis/audit/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	cliflag "k8s.io/component-base/cli/flag"
	aggregator "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	proxyconfig "k8s.io/kube-proxy/config/v1alpha1"
	schedulerconfig "k8s.io/kube-scheduler/config/v1"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app/options"
	eventratelimit "k8s.io/kubernetes/plugin/pkg/admission/eventratelimit/apis/eventratelimit/v1alpha1"
	podsecurity "k8s.io/pod-security-admission/admission/api/v1"
)

type field struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Optional bool   `json:"optional"`
}

var roots = map[string]reflect.Type{
	"KubeletConfiguration":                reflect.TypeOf(kubeletconfig.KubeletConfiguration{}),
	"KubeProxyConfiguration":              reflect.TypeOf(proxyconfig.KubeProxyConfiguration{}),
	"KubeSchedulerConfiguration":          reflect.TypeOf(schedulerconfig.KubeSchedulerConfiguration{}),
	"AuthenticationConfiguration":         reflect.TypeOf(apiserverconfig.AuthenticationConfiguration{}),
	"AuthorizationConfiguration":          reflect.TypeOf(apiserverconfig.AuthorizationConfiguration{}),
	"EncryptionConfiguration":             reflect.TypeOf(apiserverconfig.EncryptionConfiguration{}),
	"EventRateLimitConfiguration":         reflect.TypeOf(eventratelimit.Configuration{}),
	"PodSecurityConfiguration":            reflect.TypeOf(podsecurity.PodSecurityConfiguration{}),
	"Policy":                              reflect.TypeOf(audit.Policy{}),
	"WebhookAdmission":                    reflect.TypeOf(webhookadmission.WebhookAdmission{}),
	"DefaultPreemptionArgs":               reflect.TypeOf(schedulerconfig.DefaultPreemptionArgs{}),
	"InterPodAffinityArgs":                reflect.TypeOf(schedulerconfig.InterPodAffinityArgs{}),
	"NodeAffinityArgs":                    reflect.TypeOf(schedulerconfig.NodeAffinityArgs{}),
	"NodeResourcesBalancedAllocationArgs": reflect.TypeOf(schedulerconfig.NodeResourcesBalancedAllocationArgs{}),
	"NodeResourcesFitArgs":                reflect.TypeOf(schedulerconfig.NodeResourcesFitArgs{}),
	"PodTopologySpreadArgs":               reflect.TypeOf(schedulerconfig.PodTopologySpreadArgs{}),
	"VolumeBindingArgs":                   reflect.TypeOf(schedulerconfig.VolumeBindingArgs{}),
}

func main() {
	switch os.Args[1] {
	case "types":
		print(types())
	case "gates": // those that are always on or off by now, too
		names := []string{}
		for name := range utilfeature.DefaultMutableFeatureGate.GetAll() {
			names = append(names, string(name))
		}
		sort.Strings(names)
		print(names)
	case "locked": // those that cannot be set to anything else
		values := map[string]bool{}
		for name, spec := range utilfeature.DefaultMutableFeatureGate.GetAll() {
			if spec.LockToDefault {
				values[string(name)] = spec.Default
			}
		}
		print(values)
	case "apis": // group versions that runtime-config may name, the core's without a group
		names := []string{}
		for _, scheme := range []*runtime.Scheme{legacyscheme.Scheme, extensions.Scheme, aggregator.Scheme} {
			for _, version := range scheme.PrioritizedVersionsAllGroups() {
				names = append(names, version.String())
			}
		}
		sort.Strings(names)
		print(names)
	default:
		print(flags(os.Args[1]))
	}
}

func flags(component string) map[string]flag {
	switch component {
	case "kube-apiserver":
		return ofCommand(apiserver.NewAPIServerCommand())
	case "kube-controller-manager":
		return ofCommand(controllers.NewControllerManagerCommand())
	case "kube-scheduler":
		return ofCommand(scheduler.NewSchedulerCommand())
	case "kubelet": // its command parses flags itself, from these
		set := pflag.NewFlagSet("kubelet", pflag.ContinueOnError)
		set.SetNormalizeFunc(cliflag.WordSepNormalizeFunc)
		config, err := kubelet.NewKubeletConfiguration()
		if err != nil {
			panic(err)
		}
		kubelet.NewKubeletFlags().AddFlags(set)
		kubelet.AddKubeletConfigFlags(set, config)
		kubelet.AddGlobalFlags(set)
		set.BoolP("help", "h", false, "help for kubelet")
		return ofSet(set)
	}
	panic(component)
}

func types() map[string][]field {
	found := map[string][]field{}
	names := []string{}
	for name := range roots {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		describe(roots[name], found)
	}
	return found
}

// describe adds a struct, and those it holds, under their package's and own name.
func describe(t reflect.Type, found map[string][]field) {
	if _, known := found[t.String()]; known {
		return
	}
	found[t.String()] = nil
	found[t.String()] = fields(t, found)
}

func fields(t reflect.Type, found map[string][]field) []field {
	list := []field{}
	for i := range t.NumField() {
		f := t.Field(i)
		words := strings.Split(f.Tag.Get("json"), ",")
		if words[0] == "-" || !f.IsExported() {
			continue
		}
		if words[0] == "" && f.Anonymous {
			list = append(list, fields(f.Type, found)...)
			continue
		}
		list = append(list, field{words[0], name(f.Type, found), f.Type.Kind() == reflect.Pointer})
	}
	return list
}

func name(t reflect.Type, found map[string][]field) string {
	switch t.Kind() {
	case reflect.Pointer:
		return name(t.Elem(), found)
	case reflect.Slice:
		return "[]" + name(t.Elem(), found)
	case reflect.Map:
		return "map[]" + name(t.Elem(), found)
	case reflect.Struct:
		if t.Implements(reflect.TypeFor[json.Marshaler]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()) {
			return t.String() // written as a scalar, or as anything
		}
		describe(t, found)
		return t.String()
	}
	if t.PkgPath() != "" {
		return t.PkgPath() + "." + t.Name() + "=" + t.Kind().String()
	}
	return t.String()
}
