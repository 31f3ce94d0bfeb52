package nextjs

import (
	"embed"
	"encoding/json"
	"fmt"
	"path"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/function"
)

// The adapter runs one route as a function. It stands in a folder of its own,
// in the root of the artifact.

//go:embed adapter/*.cjs
var adapter embed.FS

const (
	adapterDir = "___nightshift"
	entry      = adapterDir + "/index.cjs"
)

// description is what the adapter is told about its route: adapter/route.json.
type description struct {
	Site            string          `json:"site"` // within the artifact
	DistDir         string          `json:"distDir"`
	Router          router          `json:"router"`
	Page            string          `json:"page"`
	File            string          `json:"file"`
	Source          string          `json:"source"`
	Kind            function.Kind   `json:"kind"`
	BasePath        string          `json:"basePath"`
	Path            string          `json:"path"`             // that a tick calls
	Method          string          `json:"method,omitempty"` // that a tick calls; empty: POST
	Preview         json.RawMessage `json:"preview"`
	BuildID         string          `json:"buildId,omitempty"`
	Instrumentation bool            `json:"instrumentation,omitempty"`
}

// adapterFiles are the adapter and its description of a route.
func (s *site) adapterFiles(p planned, place string) ([]artifact.File, error) {
	d := description{
		Site: place, DistDir: s.config.DistDir, Router: p.route.router, Page: p.route.page, File: p.route.file, Source: p.route.source,
		Kind: p.Kind, BasePath: s.config.BasePath, Path: ownPath(s.config.BasePath, p.route.page), Method: p.method,
		Preview: s.shared.preview, Instrumentation: s.shared.instrumentation,
	}
	if p.route.router == appRouter {
		d.BuildID = s.shared.buildID
	}
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("describing the route: %w", err)
	}
	files := []artifact.File{{Path: adapterDir + "/route.json", Data: data}}
	entries, err := adapter.ReadDir("adapter")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		data, err := adapter.ReadFile(path.Join("adapter", e.Name()))
		if err != nil {
			return nil, err
		}
		files = append(files, artifact.File{Path: adapterDir + "/" + e.Name(), Data: data})
	}
	return files, nil
}
