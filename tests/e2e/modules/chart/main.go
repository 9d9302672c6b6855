// Renders a Helm chart with the engine and the default capabilities of helm, as `helm template NAME CHART --namespace
// NAMESPACE` does for a chart without hooks and dependencies. The whole of helm would take twice as long to build.
package main

import (
	"fmt"
	"os"
	"path"
	"slices"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
)

func main() {
	if len(os.Args) != 4 {
		fail(fmt.Errorf("usage: %s NAME CHART NAMESPACE", os.Args[0]))
	}
	chart, err := loader.Load(os.Args[2])
	fail(err)
	release := common.ReleaseOptions{Name: os.Args[1], Namespace: os.Args[3], Revision: 1, IsInstall: true}
	values, err := util.ToRenderValues(chart, map[string]any{}, release, common.DefaultCapabilities)
	fail(err)
	rendered, err := engine.Render(chart, values)
	fail(err)
	names := make([]string, 0, len(rendered))
	for name := range rendered {
		if path.Ext(name) == ".yaml" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Printf("---\n# Source: %s\n%s\n", name, rendered[name])
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
