// Render prints what a kustomization renders to, as kubectl kustomize does,
// for machines that have no kubectl:
//
//	go run ./test/kubernetes/render deploy/k8s/overlays/local
package main

import (
	"fmt"
	"os"

	"github.com/nightshift/nightshift/test/kubernetes/manifest"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: render DIR")
		os.Exit(2)
	}
	documents, err := manifest.Render(filesys.MakeFsOnDisk(), os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
	_, _ = os.Stdout.Write(documents)
}
