module github.com/nightshift/nightshift/test

go 1.26.0

require (
	github.com/emersion/go-smtp v0.25.1
	github.com/nightshift/nightshift/shared v0.0.0
	github.com/rogpeppe/go-internal v1.16.0
	golang.org/x/mod v0.42.0
	golang.org/x/sys v0.49.0
)

require (
	filippo.io/age v1.3.2 // indirect
	filippo.io/hpke v0.4.0 // indirect
	github.com/emersion/go-sasl v0.0.0-20241020182733-b788ff22d5a6 // indirect
	golang.org/x/crypto v0.57.0 // indirect
	golang.org/x/tools v0.51.0 // indirect
)

replace (
	github.com/nightshift/nightshift/cli => ../cli
	github.com/nightshift/nightshift/gateway => ../gateway
	github.com/nightshift/nightshift/scheduler => ../scheduler
	github.com/nightshift/nightshift/shared => ../shared
	github.com/nightshift/nightshift/worker => ../worker
)
