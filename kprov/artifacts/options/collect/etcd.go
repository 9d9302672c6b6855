// Prints, as JSON, the flags of etcd as its own main package defines them. It must be built in the pinned module of the
// version it is to describe, with etcd_flags.go laid into that package: there is no other way to its flags.
package main

import (
	"encoding/json"
	stdflag "flag"
	"os"
	"reflect"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

type flag struct {
	Type       string `json:"type"`
	Default    string `json:"default"`
	Usage      string `json:"usage"`
	Deprecated string `json:"deprecated"`
}

func main() {
	found := map[string]flag{}
	etcdmain.Flags().VisitAll(func(f *stdflag.Flag) {
		found[f.Name] = flag{reflect.TypeOf(f.Value).String(), f.DefValue, f.Usage, ""}
	})
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		panic(err)
	}
}
