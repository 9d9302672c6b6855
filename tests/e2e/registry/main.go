// A container registry kept in memory: the real protocol for tests of pulls. Where it listens (REGISTRY_ADDRESS), the
// file with certificate and key that it serves with (REGISTRY_PAIR) and who may enter (REGISTRY_LOGIN, NAME:PASSWORD)
// come from the environment; without them it is open, on loopback.
package main

import (
	"crypto/subtle"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	address, pair, login := os.Getenv("REGISTRY_ADDRESS"), os.Getenv("REGISTRY_PAIR"), os.Getenv("REGISTRY_LOGIN")
	if address == "" {
		address = "127.0.0.1"
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		log.Fatal(err)
	}
	handler := guarded(registry.New(), login)
	if pair == "" {
		fmt.Printf("http://%s\n", listener.Addr())
		log.Fatal(http.Serve(listener, handler))
	}
	fmt.Printf("https://%s\n", listener.Addr())
	log.Fatal(http.ServeTLS(listener, handler, pair, pair))
}

// guarded asks for the login as HTTP's basic authentication, where there is one.
func guarded(inner http.Handler, login string) http.Handler {
	if login == "" {
		return inner
	}
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		name, password, _ := request.BasicAuth()
		if subtle.ConstantTimeCompare([]byte(name+":"+password), []byte(login)) != 1 {
			log.Printf("refused %s", request.URL)
			answer.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			http.Error(answer, "no login, no image", http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(answer, request)
	})
}
