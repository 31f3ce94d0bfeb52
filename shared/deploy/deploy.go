// Package deploy describes a deploy: one immutable set of functions and static
// files of a site.
//
// A deploy is accepted whole or not at all. It becomes visible to callers when
// the site's published pointer moves to it; publishing and rolling back move
// that pointer and change nothing else.
package deploy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nightshift/nightshift/shared/function"
)

// State is how far a deploy has come.
type State string

// The closed list of states.
//
//	new ──▶ uploading ──▶ ready ──▶ expired
//	  └─────────┴──▶ error
const (
	New       State = "new"       // announced; what it consists of is not said yet
	Uploading State = "uploading" // described; artifacts are still missing
	Ready     State = "ready"     // complete; can be called on its permalink and be published
	Failed    State = "error"     // given up; never visible
	Expired   State = "expired"   // not needed any more; about to be removed
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
	// Files are the static files by path: slash-separated, relative, decoded.
	Files map[string]File `json:"files,omitempty"`
}

// File is one static file, named by its content: deploys share what is equal.
type File struct {
	// Digest is the lower-case hex SHA-256 of the content.
	Digest string `json:"digest"`
	// Size is the length of the content, in bytes.
	Size int64 `json:"size"`
}

// Limits of the static files of one deploy.
const (
	MaxFiles     = 20_000
	MaxFileSize  = 250 << 20
	MaxFilesSize = 2 << 30 // all together
	maxFilePath  = 1024
)

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
	return d.validateFiles()
}

var validDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (d *Deploy) validateFiles() error {
	if len(d.Files) > MaxFiles {
		return fmt.Errorf("%d static files are too many; %d are allowed", len(d.Files), MaxFiles)
	}
	var total int64
	for _, path := range slices.Sorted(maps.Keys(d.Files)) {
		f := d.Files[path]
		switch {
		case !ValidFilePath(path):
			return fmt.Errorf("static file %.80q: the path must be relative, with slashes, without empty parts, \".\" and \"..\", %d bytes at most", path, maxFilePath)
		case !validDigest.MatchString(f.Digest):
			return fmt.Errorf("static file %s: the digest %.80q is not a SHA-256 in hex", path, f.Digest)
		case f.Size < 0 || f.Size > MaxFileSize:
			return fmt.Errorf("static file %s: %d bytes; %d MiB are allowed", path, f.Size, MaxFileSize>>20)
		}
		if total += f.Size; total > MaxFilesSize {
			return fmt.Errorf("the static files are too large together; %d MiB are allowed", MaxFilesSize>>20)
		}
	}
	return nil
}

// ValidFilePath reports whether a path can be that of a static file.
func ValidFilePath(path string) bool {
	if len(path) > maxFilePath || !utf8.ValidString(path) || strings.ContainsAny(path, "\\\x00") {
		return false
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// FileDigests lists the digests of the deploy's static files, each once.
func (d *Deploy) FileDigests() []string {
	var digests []string
	for _, f := range d.Files {
		digests = append(digests, f.Digest)
	}
	slices.Sort(digests)
	return slices.Compact(digests)
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
