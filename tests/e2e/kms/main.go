// A KMS plugin for tests: it seals what API servers hand to it with one AES key, which it reads from a file.
// Usage: kms SOCKET KEY-FILE
package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log"
	"os"
	"time"

	"k8s.io/kms/pkg/service"
)

type sealing struct {
	aead cipher.AEAD
	id   string
}

func (s sealing) Encrypt(_ context.Context, uid string, data []byte) (*service.EncryptResponse, error) {
	nonce := make([]byte, s.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	log.Printf("encrypt %s", uid)
	return &service.EncryptResponse{Ciphertext: s.aead.Seal(nonce, nonce, data, nil), KeyID: s.id}, nil
}

func (s sealing) Decrypt(_ context.Context, uid string, asked *service.DecryptRequest) ([]byte, error) {
	size := s.aead.NonceSize()
	if asked.KeyID != s.id || len(asked.Ciphertext) < size {
		return nil, errors.New("sealed by another key")
	}
	log.Printf("decrypt %s", uid)
	return s.aead.Open(nil, asked.Ciphertext[:size], asked.Ciphertext[size:], nil)
}

func (s sealing) Status(context.Context) (*service.StatusResponse, error) {
	return &service.StatusResponse{Version: "v2", Healthz: "ok", KeyID: s.id}, nil
}

func main() {
	socket := os.Args[1]
	key, err := os.ReadFile(os.Args[2])
	check(err)
	block, err := aes.NewCipher(key)
	check(err)
	aead, err := cipher.NewGCM(block)
	check(err)
	sum := sha256.Sum256(key)
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) { // of one that was killed
		log.Fatal(err)
	}
	go func() { // API servers are users of their own
		for os.Chmod(socket, 0o666) != nil {
			time.Sleep(10 * time.Millisecond)
		}
	}()
	check(service.NewGRPCService(socket, 3*time.Second, sealing{aead, hex.EncodeToString(sum[:8])}).ListenAndServe())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
