package proxies

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func nginx(t *testing.T, s settings, backends ...string) string {
	p := program{name: "nginx", install: "apt-get install nginx-light", file: "nginx.conf", command: func(dir, _ string) []string {
		return []string{"-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "error.log")}
	}}
	return p.start(t, func(dir, address string) string {
		var paths strings.Builder
		for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			fmt.Fprintf(&paths, "%s_temp_path %s/%s;\n", kind, dir, kind)
		}
		return fmt.Sprintf(`daemon off; worker_processes 1; pid %s/pid; error_log %[1]s/error.log;
events { worker_connections 512; }
http {
	access_log off; client_max_body_size 2m; proxy_http_version 1.1; proxy_set_header Connection "";
	%s
	%s
	upstream app { %s %s }
	server { listen %s; location / { proxy_pass http://app; } }
}`, dir, paths.String(), s.global, each(backends, "server %s;\n"), s.upstream, address)
	})
}

func haproxy(t *testing.T, s settings, backends ...string) string {
	p := program{name: "haproxy", install: "apt-get install haproxy", file: "haproxy.cfg", command: func(dir, _ string) []string {
		return []string{"-db", "-f", filepath.Join(dir, "haproxy.cfg")}
	}}
	return p.start(t, func(_, address string) string {
		return fmt.Sprintf(`global
	maxconn 500
defaults
	mode http
	timeout connect 5s
	timeout client 50s
	timeout server 50s
	%s
frontend in
	bind %s
	default_backend app
backend app
	balance roundrobin
%s`, strings.ReplaceAll(s.global, "\n", "\n\t"), address, each(backends, "\tserver sNUMBER %s "+s.upstream+"\n"))
	})
}

// compiling is held while a Varnish starts: it runs a C compiler, of which a dozen at once would
// take as many times as long.
var compiling sync.Mutex

func varnish(t *testing.T, s settings, backends ...string) string {
	compiling.Lock()
	defer compiling.Unlock()
	p := program{name: "varnishd", install: "apt-get install varnish", file: "default.vcl", command: func(dir, address string) []string {
		return []string{
			"-F", "-j", "none", "-n", filepath.Join(dir, "work"), "-a", address, "-f", filepath.Join(dir, "default.vcl"),
			"-s", "malloc,32m", "-p", "thread_pool_min=20", "-p", "thread_pools=1",
		}
	}}
	return p.start(t, func(_, _ string) string {
		var vcl strings.Builder
		vcl.WriteString("vcl 4.1;\nimport directors;\nimport std;\n")
		add := ""
		for i, backend := range backends {
			host, port, _ := net.SplitHostPort(backend)
			fmt.Fprintf(&vcl, "backend b%d { .host = %q; .port = %q; }\n", i, host, port)
			add += fmt.Sprintf("\tapp.add_backend(b%d);\n", i)
		}
		fmt.Fprintf(&vcl, "sub vcl_init {\n\tnew app = directors.round_robin();\n%s}\n", add)
		fmt.Fprintf(&vcl, "%s\nsub vcl_recv { set req.backend_hint = app.backend(); return (pass); }\n", s.global)
		return vcl.String()
	}, s.args...)
}

func apache(t *testing.T, s settings, backends ...string) string {
	p := program{name: "apache2", install: "apt-get install apache2-bin", file: "httpd.conf", command: func(dir, _ string) []string {
		return []string{"-DFOREGROUND", "-f", filepath.Join(dir, "httpd.conf")}
	}}
	return p.start(t, func(dir, address string) string {
		var load strings.Builder
		for _, module := range []string{
			"mpm_event", "authz_core", "slotmem_shm", "proxy", "proxy_http", "proxy_balancer", "lbmethod_byrequests", "reqtimeout", "env", "setenvif",
		} {
			fmt.Fprintf(&load, "LoadModule %s_module /usr/lib/apache2/modules/mod_%[1]s.so\n", module)
		}
		return fmt.Sprintf(`ServerRoot %s
ServerName localhost
DefaultRuntimeDir %[1]s
PidFile %[1]s/pid
ErrorLog %[1]s/error.log
Listen %s
%s
StartServers 1
ThreadsPerChild 50
MaxRequestWorkers 100
MinSpareThreads 25
MaxSpareThreads 75
%s
ProxyPass / balancer://app/
<Proxy balancer://app>
%s
</Proxy>
`, dir, address, load.String(), s.global, each(backends, "BalancerMember http://%s "+s.upstream+"\n"))
	})
}

func caddy(t *testing.T, s settings, backends ...string) string {
	p := program{name: "caddy", install: "go install github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9", file: "Caddyfile", command: func(dir, _ string) []string {
		return []string{"run", "--adapter", "caddyfile", "--config", filepath.Join(dir, "Caddyfile")}
	}}
	return p.start(t, func(_, address string) string {
		host, port, _ := net.SplitHostPort(address)
		return fmt.Sprintf(`{
	admin off
	auto_https off
	persist_config off
}
http://:%s {
	bind %s
	reverse_proxy {
		to %s
		lb_policy round_robin
		%s
	}
}
`, port, host, strings.Join(backends, " "), s.global)
	})
}

// reverseProxy is httputil's, with a Transport that keeps connections as long as global says.
func reverseProxy(t *testing.T, s settings, backends ...string) string {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	if s.upstream != "" {
		idle, err := time.ParseDuration(s.upstream)
		require.NoError(t, err)
		transport.IdleConnTimeout = idle
	}
	t.Cleanup(transport.CloseIdleConnections)
	var next int
	var mu sync.Mutex
	server := httptest.NewServer(&httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			mu.Lock()
			defer mu.Unlock()
			r.SetURL(&url.URL{Scheme: "http", Host: backends[next%len(backends)]})
			r.SetXForwarded()
			next++
		},
		ErrorLog: nil,
	})
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// fronts are the proxies, each as its documentation has it.
var fronts = []struct {
	name  string
	start front
}{
	{"nginx", nginx},
	{"HAProxy", haproxy},
	{"Varnish", varnish},
	{"Apache", apache},
	{"Caddy", caddy},
	{"ReverseProxy", reverseProxy},
}
