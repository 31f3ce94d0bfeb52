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

// Deploy is one immutable version of a site. Until it is ready, functions and
// files that a client described by less may lack what their uploads will tell.
type Deploy struct {
	ID   string `json:"id"`
	Site string `json:"site"`
	// Branch is the name of the branch that it was made of; empty: none.
	Branch string `json:"branch,omitempty"`
	// Draft keeps the deploy unpublished when its last artifact arrives.
	Draft bool `json:"draft,omitempty"`
	// Title is what its maker said about it, for people.
	Title string `json:"title,omitempty"`
	// SiteURL and URL are where the site and this very deploy were reached when
	// the deploy was made, and PrimeURL is where its branch was, or URL without
	// one. Functions see them in their environment, which is as final as the
	// deploy is.
	SiteURL   string              `json:"site_url,omitempty"`
	URL       string              `json:"url,omitempty"`
	PrimeURL  string              `json:"prime_url,omitempty"`
	Functions []function.Function `json:"functions"`
	// Files are the static files by path: slash-separated, relative, decoded.
	Files map[string]File `json:"files,omitempty"`
	// Redirects and Headers are in the order in which they are read; see rules.go.
	Redirects []Redirect   `json:"redirects,omitempty"`
	Headers   []HeaderRule `json:"headers,omitempty"`

	// The rest is not part of the version, but what became of it.

	State     State     `json:"-"`
	CreatedAt time.Time `json:"-"`
	// PublishedAt is when it was published last; zero if it never was.
	PublishedAt time.Time `json:"-"`
	// LeftAt is when it ceased to be published; zero if it never was or still is.
	LeftAt time.Time `json:"-"`
	// Withheld is why a deploy that is no draft was not published when it became
	// ready: "locked" (the site was), "older" (a later one was published already).
	Withheld string `json:"-"`
	// Reason is why a failed deploy failed.
	Reason string `json:"-"`
}

// File is one static file, named by its content: deploys share what is equal.
type File struct {
	// Digest is the lower-case hex SHA-256 of the content. Until the deploy is
	// ready it may be empty, with SHA1 in its place.
	Digest string `json:"digest"`
	// SHA1 is what clients of Netlify's API state instead, in lower-case hex.
	SHA1 string `json:"sha1,omitempty"`
	// Size is the length of the content, in bytes.
	Size int64 `json:"size"`
}

// Limits of one deploy.
const (
	MaxFunctions = 1000

	// Of the static files.
	MaxFiles     = 20_000
	MaxFileSize  = 250 << 20
	MaxFilesSize = 2 << 30 // all together
	maxFilePath  = 1024
)

// Site is a name with a pointer to the deploy that its callers get.
type Site struct {
	Name      string
	CreatedAt time.Time
	// Published is the ID of the published deploy; empty if nothing is published.
	Published string
	// Locked is the ID of the deploy that the site is locked to; empty: it is not.
	Locked string
}

// MaxSiteName is the length of a site's name: <deploy ID>--<name> is one label
// of a host name, which has 63 characters at most, and an ID has 24.
const MaxSiteName = 37

var validSite = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// ValidSite reports whether a name can stand in a host name: lower-case
// letters, digits and inner hyphens, [MaxSiteName] at most, and no "--", which
// separates a deploy from its site.
func ValidSite(name string) bool {
	return len(name) <= MaxSiteName && validSite.MatchString(name) && !strings.Contains(name, "--")
}

// idPrefix cannot stand in a name, so that IDs and names are told apart.
const idPrefix = "site_"

// SiteID is the ID of a site in the API, where its name does as well. It is not
// the name itself: the netlify CLI takes a site whose ID is the name that it was
// given for one that it has not looked up yet.
func SiteID(name string) string { return idPrefix + name }

// SiteName is the name of a site, given its name or its ID.
func SiteName(nameOrID string) string { return strings.TrimPrefix(nameOrID, idPrefix) }

var notInLabel = regexp.MustCompile(`[^a-z0-9]+`)

// BranchLabel is how a branch stands in a host name, before "--<site>": in lower
// case, with one hyphen for whatever cannot stand there, as long as fits. It
// is empty for a branch of which nothing is left.
func BranchLabel(branch, site string) string {
	label := strings.Trim(notInLabel.ReplaceAllString(strings.ToLower(branch), "-"), "-")
	return strings.TrimRight(label[:min(len(label), 63-len("--")-len(site))], "-")
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
		return fmt.Errorf("site name %q: only lower-case letters, digits and inner single hyphens are allowed, %d at most", d.Site, MaxSiteName)
	}
	if len(d.Functions) > MaxFunctions {
		return fmt.Errorf("%d functions are too many; %d are allowed", len(d.Functions), MaxFunctions)
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
	if err := d.validateFiles(); err != nil {
		return err
	}
	return ValidateRules(d.Redirects, d.Headers)
}

var (
	validDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)
	validSHA1   = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

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
		case f.Digest == "" && f.SHA1 != "":
			if !validSHA1.MatchString(f.SHA1) {
				return fmt.Errorf("static file %s: the digest %.80q is not a SHA-1 in hex", path, f.SHA1)
			}
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
