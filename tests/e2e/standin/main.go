// A stand-in for web UIs whose image the tests do not run: it takes Headlamp's arguments and shows a page that
// says what it is. As Headlamp does, it hands questions below /clusters/NAME/ to the API server with the token of whoever
// asks, and finds the API server by its pod's service account; signon.go lets people sign on. It also uses up processor time when it is told to.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	page = "<!doctype html><title>stand-in</title><h1>A stand-in of kprov's tests. This is not Headlamp.</h1>\n"
	ca   = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, page) })
	http.HandleFunc("/arguments", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, strings.Join(os.Args[1:], "\n")) })
	http.HandleFunc("/root", writes("/probe"))
	http.HandleFunc("/tmp", writes("/tmp/probe"))
	http.HandleFunc("/burn", burn)
	http.HandleFunc("/copies", copies)
	http.HandleFunc("/end", func(w http.ResponseWriter, r *http.Request) { os.Exit(1) })
	if err := copyPages(); err != nil {
		log.Fatal(err)
	}
	signOn()
	if api, err := apiServer(); err == nil {
		http.Handle("/clusters/", api)
	} else {
		log.Print(err)
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "4466"
	}
	log.Fatal(http.ListenAndServe(":"+port, nil))
}

func apiServer() (http.Handler, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)
	address := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			_, path, _ := strings.Cut(strings.TrimPrefix(r.In.URL.Path, "/clusters/"), "/")
			r.SetURL(&url.URL{Scheme: "https", Host: address})
			r.Out.URL.Path = "/" + path
			if cookie, err := r.In.Cookie(session); err == nil {
				r.Out.Header.Set("Authorization", "Bearer "+cookie.Value)
			}
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}},
	}
	return proxy, nil
}

func writes(path string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, os.WriteFile(path, []byte("x"), 0o600))
	}
}

// copyPages leaves a new folder of 31 MB behind at each start, as Headlamp does with its pages.
func copyPages() error {
	folder, err := os.MkdirTemp("", "pages")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "pages"), make([]byte, 31<<20), 0o600)
}

func copies(w http.ResponseWriter, r *http.Request) {
	folders, err := filepath.Glob(filepath.Join(os.TempDir(), "pages*"))
	fmt.Fprintln(w, len(folders), err)
}

// burn keeps one processor busy for a part of each tenth of a second.
func burn(w http.ResponseWriter, r *http.Request) {
	milli, _ := strconv.Atoi(r.FormValue("milli"))
	seconds, _ := strconv.Atoi(r.FormValue("seconds"))
	ends := time.Now().Add(time.Duration(seconds) * time.Second)
	go func() {
		for time.Now().Before(ends) {
			began := time.Now()
			for time.Since(began) < time.Duration(milli)*time.Millisecond/10 {
			}
			time.Sleep(100*time.Millisecond - time.Since(began))
		}
	}()
	fmt.Fprintln(w, "burning")
}
