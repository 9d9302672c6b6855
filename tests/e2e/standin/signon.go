package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
)

const session = "session"

// signOn lets people sign on as Headlamp does, with the same arguments and environment: the code flow of OpenID Connect,
// with PKCE. The token of the issuer is what the API server is asked with.
func signOn() {
	issuer, client := argument("oidc-idp-issuer-url"), argument("oidc-client-id")
	if issuer == "" {
		return
	}
	secret := os.Getenv("HEADLAMP_CONFIG_OIDC_CLIENT_SECRET")
	hidden, state := random(), random() // of one person at a time
	back := func(r *http.Request) string { return "http://" + r.Host + "/oidc-callback" }
	http.HandleFunc("/oidc", func(w http.ResponseWriter, r *http.Request) {
		place, err := endpoint(issuer, "authorization_endpoint")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		sum := sha256.Sum256([]byte(hidden))
		asked := url.Values{"response_type": {"code"}, "client_id": {client}, "redirect_uri": {back(r)}, "scope": {"openid profile email"},
			"state": {state}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
		http.Redirect(w, r, place+"?"+asked.Encode(), http.StatusFound)
	})
	http.HandleFunc("/oidc-callback", func(w http.ResponseWriter, r *http.Request) {
		token, err := redeem(issuer, client, secret, url.Values{"grant_type": {"authorization_code"}, "code": {r.FormValue("code")},
			"redirect_uri": {back(r)}, "code_verifier": {hidden}})
		if err != nil || r.FormValue("state") != state {
			http.Error(w, fmt.Sprint("not signed on: ", err), http.StatusUnauthorized)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: session, Value: token, Path: "/", HttpOnly: true})
		http.Redirect(w, r, "/", http.StatusFound)
	})
}

func argument(name string) string {
	for _, word := range os.Args[1:] {
		if value, found := strings.CutPrefix(word, "-"+name+"="); found {
			return value
		}
	}
	return ""
}

func random() string {
	data := make([]byte, 32)
	_, _ = rand.Read(data)
	return base64.RawURLEncoding.EncodeToString(data)
}

func asking() (*http.Client, error) {
	trusted := x509.NewCertPool()
	if file := argument("oidc-ca-file"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		trusted.AppendCertsFromPEM(pem)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}, nil
}

func endpoint(issuer, name string) (string, error) {
	client, err := asking()
	if err != nil {
		return "", err
	}
	answer, err := client.Get(issuer + "/.well-known/openid-configuration")
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var found map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil {
		return "", err
	}
	return fmt.Sprint(found[name]), nil
}

func redeem(issuer, id, secret string, asked url.Values) (string, error) {
	place, err := endpoint(issuer, "token_endpoint")
	if err != nil {
		return "", err
	}
	request, err := http.NewRequest(http.MethodPost, place, strings.NewReader(asked.Encode()))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(id, secret)
	client, err := asking()
	if err != nil {
		return "", err
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var found struct {
		Token string `json:"id_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil || found.Token == "" {
		return "", fmt.Errorf("the issuer gave no token: %s %v", answer.Status, err)
	}
	return found.Token, nil
}
