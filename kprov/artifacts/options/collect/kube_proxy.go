// Prints, as JSON, the flags of kube-proxy, in a program of its own: it takes in every flag of the process it runs in,
// those of packages that only other components use too.
package main

import "k8s.io/kubernetes/cmd/kube-proxy/app"

func main() {
	print(ofCommand(app.NewProxyCommand()))
}
