package api

import (
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/function"
)

// Sites and deploys have the shapes of Netlify's API, so that its clients work,
// with fields of ours beside Netlify's.

// Site is a site. Where its ID is expected, its name does as well.
type Site struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	State       string    `json:"state"` // always "current"
	URL         string    `json:"url"`
	SSLURL      string    `json:"ssl_url"`   // the same: what callers use, with TLS or without
	AdminURL    string    `json:"admin_url"` // of the control plane
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
	AccountID   string    `json:"account_id"`
	AccountSlug string    `json:"account_slug"`
	AccountName string    `json:"account_name"`
	// DeployID is the published deploy's; empty if nothing is published.
	DeployID  string           `json:"deploy_id"`
	Published *PublishedDeploy `json:"published_deploy"`
	// Locked says that the published deploy stays until the site is unlocked.
	Locked bool `json:"locked"`
	// UseEnvelope is what tells clients that variables are with the account.
	UseEnvelope   bool     `json:"use_envelope"`
	BuildSettings struct{} `json:"build_settings"`
}

// PublishedDeploy is what a site says about its published deploy.
type PublishedDeploy struct {
	ID                 string              `json:"id"`
	State              string              `json:"state"`
	Branch             string              `json:"branch,omitempty"`
	Locked             bool                `json:"locked"`
	PublishedAt        *time.Time          `json:"published_at"`
	AvailableFunctions []AvailableFunction `json:"available_functions"`
}

// AvailableFunction names a function, as Netlify has it.
type AvailableFunction struct {
	Name string `json:"n"`
}

// CreateSite is the body of POST /api/v1/sites.
type CreateSite struct {
	Name string `json:"name"`
}

// Team is the one account of an installation: GET /api/v1/accounts lists it.
type Team struct {
	ID   string `json:"id"`
	Slug string `json:"slug"`
	Name string `json:"name"`
}

// User is whom the token stands for.
type User struct {
	ID       string `json:"id"`
	FullName string `json:"full_name"`
	Email    string `json:"email"`
}

// CreateDeploy is the body of POST /api/v1/sites/{site}/deploys. With Functions,
// be it an empty list, it describes the deploy too; without, a PUT does that.
type CreateDeploy struct {
	// Draft keeps the deploy unpublished: it is reachable on its permalink only.
	Draft bool `json:"draft"`
	// Branch gives the deploy the URL of a branch, and keeps it unpublished
	// unless Production is set.
	Branch     string `json:"branch,omitempty"`
	Production bool   `json:"production,omitempty"`
	// Title is for people; ?title= goes before it.
	Title     string              `json:"title,omitempty"`
	Functions []function.Function `json:"functions"`
	// Files are the static files by path, without a slash in front.
	Files map[string]deploy.File `json:"files,omitempty"`
	// Redirects and Headers are rules for the paths of the site, in order.
	Redirects []deploy.Redirect   `json:"redirects,omitempty"`
	Headers   []deploy.HeaderRule `json:"headers,omitempty"`
	// Environment is set for this deploy only, over what the site has.
	Environment []EnvironmentVariable `json:"environment,omitempty"`
}

// Deploy is the answer to every call about one deploy.
type Deploy struct {
	ID           string     `json:"id"`
	SiteID       string     `json:"site_id"`
	Site         string     `json:"name"`
	State        string     `json:"state"` // see package deploy
	ErrorMessage string     `json:"error_message,omitempty"`
	Branch       string     `json:"branch,omitempty"`
	Context      string     `json:"context"` // production, branch-deploy, deploy-preview
	Title        string     `json:"title,omitempty"`
	Draft        bool       `json:"draft"` // it was not meant to be published
	CreatedAt    time.Time  `json:"created_at"`
	UpdatedAt    time.Time  `json:"updated_at"`
	PublishedAt  *time.Time `json:"published_at"` // the last time; null if it never was
	Published    bool       `json:"published"`    // it is the site's published deploy
	Locked       bool       `json:"locked"`       // and the site is locked to it
	// Withheld is why a deploy that was to be published was not when it became
	// ready: "locked" (the site was), "older" (a later one was published already).
	Withheld string `json:"withheld,omitempty"`

	URL    string `json:"url"`     // of the site
	SSLURL string `json:"ssl_url"` // the same
	// DeployURL is where the deploy is reached: by its branch if it has one.
	DeployURL    string `json:"deploy_url"`
	DeploySSLURL string `json:"deploy_ssl_url"` // the same
	AdminURL     string `json:"admin_url"`      // of the control plane
	Links        Links  `json:"links"`

	// Required are the digests of static files that the server does not have yet.
	// One file of each is sent with PUT /api/v1/deploys/{id}/files/{path}.
	Required []string `json:"required"`
	// RequiredFunctions are the digests that the server does not have yet. Each
	// is sent with PUT /api/v1/deploys/{id}/functions/{name}; the deploy is ready
	// (and published, unless it is a draft) once neither file nor code is missing.
	RequiredFunctions []string `json:"required_functions"`
	// Functions are left out of lists of deploys.
	Functions     []Function `json:"functions,omitempty"`
	FunctionCount int        `json:"function_count"`
	Files         int        `json:"file_count"` // static files
	// Redirects and HeaderRules are how many rules for paths it has. Those that
	// clients of Netlify's API send as a file are known when it is ready.
	Redirects   int `json:"redirect_count"`
	HeaderRules int `json:"header_rule_count"`
}

// Links are the URLs of a deploy by what they follow.
type Links struct {
	Permalink string `json:"permalink"` // this very deploy, for as long as it is kept
	Alias     string `json:"alias"`     // where the newest deploy of the branch is, or the permalink
}
