package etcdmain

import "flag"

// Flags returns what etcd parses its command line with.
func Flags() *flag.FlagSet {
	return newConfig().cf.flagSet
}
