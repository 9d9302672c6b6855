package main

import (
	"encoding/json"
	"os"
	"reflect"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register" // as the components' own main packages do
)

type flag struct {
	Type       string `json:"type"`
	Default    string `json:"default"`
	Usage      string `json:"usage"`
	Deprecated string `json:"deprecated"`
}

// ofCommand returns the flags of a command as k8s.io/component-base/cli.Run, which starts it, completes them.
func ofCommand(command *cobra.Command) map[string]flag {
	command.SetGlobalNormalizationFunc(cliflag.WordSepNormalizeFunc)
	logs.AddFlags(command.PersistentFlags())
	command.InitDefaultHelpFlag()
	command.LocalFlags() // takes in those of the whole process
	return ofSet(command.Flags())
}

func ofSet(set *pflag.FlagSet) map[string]flag {
	found := map[string]flag{}
	set.VisitAll(func(f *pflag.Flag) {
		found[f.Name] = flag{reflect.TypeOf(f.Value).String(), f.DefValue, f.Usage, f.Deprecated}
	})
	return found
}

func print(answer any) {
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		panic(err)
	}
}
