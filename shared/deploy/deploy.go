// Package deploy describes a deploy: one immutable set of functions of a site.
//
// A deploy is accepted whole or not at all. It becomes visible to callers when
// the site's published pointer moves to it; publishing and rolling back move
// that pointer and change nothing else.
package deploy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/function"
)

// State is how far a deploy has come.
type State string

// The closed list of states.
const (
	Uploading State = "uploading" // announced; artifacts are still missing
	Ready     State = "ready"     // complete; can be called on its permalink and be published
	Failed    State = "error"     // given up; never visible
)

// Deploy is one immutable version of a site.
type Deploy struct {
	ID     string `json:"id"`
	Site   string `json:"site"`
	Branch string `json:"branch,omitempty"`
	// Draft keeps the deploy unpublished when its last artifact arrives.
	Draft bool `json:"draft,omitempty"`
	// SiteURL and URL are where the site and this very deploy were reached when
	// the deploy was made. Functions see them in their environment, which is as
	// final as the deploy is.
	SiteURL   string              `json:"site_url,omitempty"`
	URL       string              `json:"url,omitempty"`
	State     State               `json:"state"`
	CreatedAt time.Time           `json:"created_at"`
	Functions []function.Function `json:"functions"`
}

// Site is a name with a pointer to the deploy that its callers get.
type Site struct {
	Name string `json:"name"`
	// Published is the ID of the published deploy; empty before the first one.
	Published string `json:"published,omitempty"`
}

var validSite = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// ValidSite reports whether a name can stand in a host name: lower-case
// letters, digits and inner hyphens, 63 at most, and no "--", which separates
// a deploy from its site.
func ValidSite(name string) bool {
	return validSite.MatchString(name) && !strings.Contains(name, "--")
}

// Contexts that a deploy can be in, in Netlify's words.
const (
	Production    = "production"
	BranchDeploy  = "branch-deploy"
	DeployPreview = "deploy-preview"
	Dev           = "dev" // of nightshift dev
)

// Context is what the deploy is for, given whether it is, or is made to be, the
// published one.
func (d *Deploy) Context(published bool) string {
	switch {
	case published:
		return Production
	case d.Branch != "":
		return BranchDeploy
	default:
		return DeployPreview
	}
}

// Function finds a function by its exact name.
func (d *Deploy) Function(name string) (*function.Function, bool) {
	i := slices.IndexFunc(d.Functions, func(f function.Function) bool { return f.Name == name })
	if i < 0 {
		return nil, false
	}
	return &d.Functions[i], true
}

// Validate says what is wrong with d, or nil.
func (d *Deploy) Validate() error {
	if !ValidSite(d.Site) {
		return fmt.Errorf("site name %q: only lower-case letters, digits and inner single hyphens are allowed, 63 at most", d.Site)
	}
	seen := map[string]bool{}
	for i := range d.Functions {
		f := &d.Functions[i]
		if err := f.Validate(); err != nil {
			return err
		}
		if seen[f.Name] {
			return fmt.Errorf("function %s stands twice in the deploy", f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

// Artifacts lists the digests that the deploy's functions need, each once.
func (d *Deploy) Artifacts() []string {
	var digests []string
	for _, f := range d.Functions {
		digests = append(digests, f.Artifact)
	}
	slices.Sort(digests)
	return slices.Compact(digests)
}
