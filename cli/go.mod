module github.com/nightshift/nightshift/cli

go 1.26.0

require (
	github.com/nightshift/nightshift/gateway v0.0.0
	github.com/nightshift/nightshift/scheduler v0.0.0
	github.com/nightshift/nightshift/shared v0.0.0
	github.com/nightshift/nightshift/worker v0.0.0
)

require (
	github.com/BurntSushi/toml v1.6.0 // indirect
	github.com/bmatcuk/doublestar/v4 v4.10.4 // indirect
	github.com/evanw/esbuild v0.28.2 // indirect
	github.com/fsnotify/fsnotify v1.10.1 // indirect
	github.com/go-sourcemap/sourcemap v2.1.4+incompatible // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/spf13/cobra v1.10.2 // indirect
	github.com/spf13/pflag v1.0.9 // indirect
	github.com/tdewolff/parse/v2 v2.8.20 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/term v0.47.0 // indirect
)

replace (
	github.com/nightshift/nightshift/gateway => ../gateway
	github.com/nightshift/nightshift/scheduler => ../scheduler
	github.com/nightshift/nightshift/shared => ../shared
	github.com/nightshift/nightshift/worker => ../worker
)
