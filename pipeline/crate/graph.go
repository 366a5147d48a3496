package crate

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A profile is a version of the Workflow Run RO-Crate profiles and the RO-Crate that
// it builds on.
type profile struct {
	run, crate, workflow string
	version              string   // the property that says which version software is of
	types                []string // of an entity that is a profile
}

// Profiles are the versions that can be written. 0.6 gave ComputationalWorkflow,
// FormalParameter, input and output other IRIs, so that no crate conforms to both.
var profiles = map[string]profile{
	"0.5": {"0.5", "1.1", "1.0", "softwareVersion", []string{"CreativeWork"}},
	"0.6": {"0.6", "1.3", "1.1", "version", []string{"CreativeWork", "Profile"}}, // the validator of RO-Crate 1.3 asks for both
}

// Profiles lists the versions of the profile that can be written, the default first.
func Profiles() []string { return slices.Sorted(maps.Keys(profiles)) }

// An entity is one object of the metadata's graph.
type entity map[string]any

func ref(id string) map[string]string { return map[string]string{"@id": id} }

// A builder collects entities.
type builder struct {
	state *State
	profile
	graph []entity
	index map[string]entity
	parts []string // ids of what the root has
	acts  []string // ids of what the root mentions
	given []string // ids of the values of the study's parameters
	cells map[string]*Cell
}

func (b *builder) add(id string, types any, properties entity) entity {
	if e := b.index[id]; e != nil {
		return e
	}
	e := entity{"@id": id, "@type": types}
	for k, v := range properties {
		if v != nil && v != "" {
			e[k] = v
		}
	}
	b.index[id] = e
	b.graph = append(b.graph, e)
	return e
}

// link adds a reference to a property that may hold several; one stands by itself,
// as the profiles ask.
func (e entity) link(property, id string) {
	switch have := e[property].(type) {
	case nil:
		e[property] = ref(id)
	case map[string]string:
		if have["@id"] != id {
			e[property] = []map[string]string{have, ref(id)}
		}
	case []map[string]string:
		if n := len(have); have[n-1]["@id"] != id {
			e[property] = append(have, ref(id))
		}
	}
}

// Graph computes the metadata from a state and the assessments added since.
func Graph(s *State, found []Found) ([]byte, error) {
	p, ok := profiles[s.Profile]
	if !ok {
		return nil, fmt.Errorf("no profile %q", s.Profile)
	}
	b := &builder{state: s, profile: p, index: map[string]entity{}, cells: map[string]*Cell{}}
	for i := range s.Cells {
		b.cells[s.Cells[i].ID] = &s.Cells[i]
	}
	b.root()
	b.people()
	b.files()
	b.workflow()
	b.machine()
	b.run()
	b.claims()
	for _, f := range found {
		b.assessment(f)
	}
	root := b.index["./"]
	for _, id := range b.parts {
		root.link("hasPart", id)
	}
	for _, id := range b.acts {
		root.link("mentions", id)
	}
	return encode(map[string]any{
		"@context": []string{"https://w3id.org/ro/crate/" + p.crate + "/context", "https://w3id.org/ro/terms/workflow-run/context"},
		"@graph":   b.graph,
	})
}

func (b *builder) root() {
	s, p := b.state, b.profile
	b.add(Metadata, "CreativeWork", entity{"about": ref("./"), "conformsTo": []map[string]string{
		ref("https://w3id.org/ro/crate/" + p.crate), ref("https://w3id.org/workflowhub/workflow-ro-crate/" + p.workflow)}})
	root := b.add("./", "Dataset", entity{
		"name":          fmt.Sprintf("%s on %s: results and what made them", s.Study.Name, s.Machine.Name),
		"description":   cmp.Or(strings.TrimSpace(s.Study.Doc), "Results of the study "+s.Study.Name+", and what made them."),
		"datePublished": stamp(s.Published), "mainEntity": ref(b.workflowID()),
	})
	for _, one := range [][3]string{
		{"https://w3id.org/ro/wfrun/process/" + p.run, "Process Run Crate", p.run},
		{"https://w3id.org/ro/wfrun/workflow/" + p.run, "Workflow Run Crate", p.run},
		{"https://w3id.org/ro/wfrun/provenance/" + p.run, "Provenance Run Crate", p.run},
		{"https://w3id.org/workflowhub/workflow-ro-crate/" + p.workflow, "Workflow RO-Crate", p.workflow},
	} {
		root.link("conformsTo", one[0])
		var types any = p.types[0]
		if len(p.types) > 1 {
			types = p.types
		}
		b.add(one[0], types, entity{"name": one[1], "version": one[2]})
	}
	licence := "https://spdx.org/licenses/" + s.Licence
	root["license"] = ref(licence)
	b.add(licence, "CreativeWork", entity{"name": s.Licence, "description": "licence " + s.Licence, "url": licence})
}

func (b *builder) people() {
	s := b.state
	root := b.index["./"]
	id := b.agent(s.Agent)
	root["author"] = ref(id)
	root["publisher"] = ref(b.organisation())
}

// agent adds who did something.
func (b *builder) agent(a Agent) string {
	id := cmp.Or(a.ID, "#agent/"+escape(a.Name))
	if !a.Person {
		b.add(id, "Organization", entity{"name": a.Name, "url": cmp.Or(a.ID, b.state.Site)})
		return id
	}
	b.add(id, "Person", entity{"name": a.Name, "affiliation": ref(b.organisation())})
	return id
}

// organisation adds the one that stands behind the crate: the agent if it is one.
func (b *builder) organisation() string {
	if a := b.state.Agent; !a.Person {
		return cmp.Or(a.ID, "#agent/"+escape(a.Name))
	}
	b.add("#publisher", "Organization", entity{"name": "no organisation is named", "url": b.state.Site})
	return "#publisher"
}

func (b *builder) files() {
	for _, f := range b.state.Files {
		e := b.add(escape(f.Path), "File", entity{"name": f.Path, "encodingFormat": media(f.Path), "contentSize": strconv.FormatInt(f.Size, 10), "sha256": f.Digest})
		if f.Path == Readme {
			e["about"] = ref("./")
		}
		b.parts = append(b.parts, escape(f.Path))
	}
	// Its checksum stands in SHA256SUMS: the metadata is made of it.
	b.add(Provenance, "File", entity{"name": Provenance, "description": "what this metadata is computed from", "encodingFormat": "application/json"})
	b.parts = append(b.parts, Provenance)
}

// workflowID is the id of the study's file.
func (b *builder) workflowID() string { return escape(b.state.Study.File) }

func (b *builder) toolID(stage string) string {
	return b.state.Site + "/" + escape(b.state.Study.Name) + "/stage/" + escape(stage)
}

func (b *builder) engineID() string { return b.state.Site + "/program" }

// workflow adds the study, its parameters, its stages and how they hang together.
func (b *builder) workflow() {
	s := b.state
	id := b.workflowID()
	e := b.index[id]
	e["@type"] = []string{"File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"}
	e["name"], e["description"] = s.Study.Name, cmp.Or(strings.TrimSpace(s.Study.Doc), "study "+s.Study.Name)
	e["version"], e["url"] = s.Study.Digest, s.Site+"/"+escape(s.Study.Name)
	e["conformsTo"] = ref("https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE")
	e["programmingLanguage"] = ref("#language")
	b.add("https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE", "CreativeWork", entity{"name": "Bioschemas ComputationalWorkflow", "version": "1.0-RELEASE"})
	b.add("#language", "ComputerLanguage", entity{"name": "Barograph study, YAML", "alternateName": "Barograph", "version": "1", "url": s.Site})
	b.add(b.engineID(), "SoftwareApplication", entity{"name": "barograph", "url": s.Site,
		b.version: strings.TrimSpace(s.Program.Version + " " + s.Program.Revision + " " + s.Program.BuildID)})
	ran := map[string]bool{}
	for _, c := range s.Cells {
		ran[c.Stage] = true
	}
	for i, st := range s.Stages {
		if !ran[st.Name] {
			continue // a tool must have run
		}
		tool := b.toolID(st.Name)
		b.add(tool, "SoftwareApplication", entity{"name": st.Kind + " (stage " + st.Name + ")", "description": cmp.Or(st.Doc, "kind "+st.Kind), "url": s.Site, b.version: st.Kind + " " + st.Version})
		e.link("hasPart", tool)
		step := id + "#" + escape(st.Name)
		b.add(step, "HowToStep", entity{"name": st.Name, "position": strconv.Itoa(i), "workExample": ref(tool)})
		e.link("step", step)
	}
	for _, p := range s.Study.Params {
		b.given = append(b.given, b.parameter(id+"#param/"+escape(p.Name), p.Name, p.Value))
		e.link("input", id+"#param/"+escape(p.Name))
	}
}

// parameter adds a formal parameter and a value that it had, and returns the id of the
// value.
func (b *builder) parameter(formal, name string, value json.RawMessage) string {
	text, kind := plain(value)
	b.add(formal, "FormalParameter", entity{"name": name, "additionalType": kind})
	short := text
	if len(short) > longest {
		short = fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	}
	id := "#value/" + escape(strings.TrimPrefix(formal, b.state.Site+"/")+"="+short)
	b.add(id, "PropertyValue", entity{"name": name, "exampleOfWork": ref(formal)})["value"] = text
	return id
}

// longest is how long a value may be that stands in an id.
const longest = 80

// plain writes a value as text, with its type in RO-Crate's words.
func plain(value json.RawMessage) (text, kind string) {
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return string(value), "Text"
	}
	switch v := v.(type) {
	case bool:
		return strconv.FormatBool(v), "Boolean"
	case string:
		return v, "Text"
	case json.Number:
		if _, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return v.String(), "Integer"
		}
		return v.String(), "Float"
	}
	var b bytes.Buffer
	_ = json.Compact(&b, value) // which was read
	return b.String(), "Text"
}

// machine adds where it ran.
func (b *builder) machine() {
	s := b.state
	m := s.Machine
	e := b.add("#machine", "Place", entity{"name": strings.TrimSuffix(m.Name+": "+m.Description, ": ")})
	fact := func(name, value string) {
		if value != "" {
			id := "#machine/" + escape(name)
			b.add(id, "PropertyValue", entity{"name": name, "value": value})
			e.link("additionalProperty", id)
		}
	}
	fact("device", m.Device)
	fact("link", m.Link.Name)
	fact("fingerprint", m.Fingerprint)
	env := s.Environment
	if env == nil {
		return
	}
	fact("operating system", env.OS)
	fact("kernel", env.Kernel)
	fact("architecture", env.Arch)
	fact("processor", env.CPU.Model)
	fact("processors", strconv.Itoa(env.CPU.Threads))
	fact("memory in bytes", strconv.FormatInt(env.Memory.Total, 10))
	fact("container", strings.Join(env.Container, ", "))
	fact("driver", env.GPUDriver)
	fact("program", strings.TrimSpace(env.Program.Version+" "+env.Program.Revision+" "+env.Program.BuildID))
	fact("compiler", env.Go)
	for i, g := range env.GPUs {
		fact(fmt.Sprintf("gpu %d", i), strings.TrimSuffix(strings.Join([]string{g.Name, g.PCI, g.UUID, g.MaxSpeed, "x" + g.MaxWidth}, " "), " x"))
	}
}

// run adds the engine's run, the study's and each cell's.
func (b *builder) run() {
	s := b.state
	who := b.agent(s.Agent)
	begin, end := s.Span()
	study := b.add("#run", "CreateAction", entity{"name": "run of study " + s.Study.Name, "instrument": ref(b.workflowID()), "agent": ref(who), "location": ref("#machine"),
		"startTime": stamp(begin), "endTime": stamp(cmp.Or(end, s.Published)), "actionStatus": s.status(),
		"description": fmt.Sprintf("%d cells with a result or an error; %d without", len(s.Cells), len(s.NotRun))})
	if e := s.failure(); e != "" {
		study["error"] = e
	}
	b.acts = append(b.acts, "#run")
	organize := b.add("#engine-run", "OrganizeAction", entity{"name": "barograph ran " + s.Study.Name, "instrument": ref(b.engineID()), "agent": ref(who), "result": ref("#run"),
		"startTime": stamp(begin), "endTime": stamp(cmp.Or(end, s.Published))})
	for _, value := range b.given {
		study.link("object", value)
	}
	results := b.results()
	for i := range s.Cells {
		organize.link("object", b.cell(&s.Cells[i], who, results))
	}
	for _, c := range s.Cells {
		for _, out := range c.Outputs {
			if out.Path != "" && !strings.HasPrefix(out.Path, Objects) {
				study.link("result", escape(out.Path))
				formal := b.workflowID() + "#output/" + escape(out.Path)
				b.add(formal, "FormalParameter", entity{"name": out.Path, "additionalType": "File"})
				b.index[b.workflowID()].link("output", formal)
				b.index[escape(out.Path)].link("exampleOfWork", formal)
			}
		}
	}
	if study["result"] == nil { // it failed before any was there
		study.link("result", Provenance)
	}
	b.connect()
}

// results adds for each stage that others read one value that stands for all that
// its cells left, and returns the ids.
func (b *builder) results() map[string]string {
	s := b.state
	read := map[string]bool{}
	ids := map[string]string{}
	for _, st := range s.Stages {
		for _, from := range slices.Concat(st.Needs, st.During) {
			read[from] = true
		}
	}
	for _, st := range s.Stages {
		tool := b.index[b.toolID(st.Name)]
		if tool == nil || !read[st.Name] {
			continue
		}
		cells, files := 0, 0
		for _, c := range s.Cells {
			if c.Stage == st.Name {
				cells++
				files += len(c.Outputs)
			}
		}
		formal := b.toolID(st.Name) + "#results"
		b.add(formal, "FormalParameter", entity{"name": "results of " + st.Name, "additionalType": "PropertyValue"})
		tool.link("output", formal)
		id := "#results/" + escape(st.Name)
		b.add(id, "PropertyValue", entity{"name": "results of " + st.Name, "value": fmt.Sprintf("%d files of %d cells", files, cells), "exampleOfWork": ref(formal)})
		ids[st.Name] = id
	}
	return ids
}

// connect adds the edges between stages, and from the study's parameters to theirs.
func (b *builder) connect() {
	s := b.state
	join := func(from, to, stage string) {
		id := "#connection/" + escape(strings.TrimPrefix(from, s.Site+"/")) + "/" + escape(strings.TrimPrefix(to, s.Site+"/"))
		b.add(id, "ParameterConnection", entity{"sourceParameter": ref(from), "targetParameter": ref(to)})
		b.index[b.workflowID()+"#"+escape(stage)].link("connection", id)
	}
	for _, st := range s.Stages {
		tool := b.index[b.toolID(st.Name)]
		for _, from := range slices.Concat(st.Needs, st.During) {
			value := b.index["#results/"+escape(from)]
			if tool == nil || value == nil {
				continue
			}
			formal := b.toolID(st.Name) + "#reads/" + escape(from)
			b.add(formal, "FormalParameter", entity{"name": "reads " + from, "additionalType": "PropertyValue"})
			tool.link("input", formal)
			value.link("exampleOfWork", formal)
			join(b.toolID(from)+"#results", formal, st.Name)
		}
	}
	for _, p := range s.Study.Params {
		for _, used := range p.Used {
			stage, name, _ := strings.Cut(used, ".")
			to := b.toolID(stage) + "#with/" + escape(name)
			if b.index[to] != nil {
				join(b.workflowID()+"#param/"+escape(p.Name), to, stage)
			}
		}
	}
}

// cell adds the run of a cell and who asked for it, and returns the id of the latter.
func (b *builder) cell(c *Cell, who string, results map[string]string) string {
	s := b.state
	tool := b.toolID(c.Stage)
	id := "#cell/" + escape(c.ID)
	e := b.add(id, "CreateAction", entity{"name": c.ID, "instrument": ref(tool), "agent": ref(who), "location": ref("#machine"), "startTime": stamp(c.Started), "endTime": stamp(c.Ended), "identifier": c.Key})
	e["actionStatus"] = completed
	about := []string{"cell " + c.ID + " of stage " + c.Stage}
	if c.Error != "" {
		e["actionStatus"], e["error"] = failed, c.Error
	}
	if c.Recorded {
		about = append(about, "known from the recording, which says how long it was timed and not when: it ended no later than "+c.By)
	}
	if c.Key != "" {
		about = append(about, "its result is kept under key "+c.Key)
	}
	about = append(about, c.Warnings...)
	e["description"] = strings.Join(about, "; ")
	if c.Script != nil {
		e.link("object", b.value(tool+"#run", "run", c.Script, tool))
	}
	for _, p := range Values(c.With) {
		e.link("object", b.value(tool+"#with/"+escape(p.Name), p.Name, p.Value, tool))
	}
	for _, f := range c.Inputs {
		e.link("object", escape(f))
	}
	for _, need := range c.Needs {
		for _, out := range b.outputs(need) {
			e.link("object", out)
		}
	}
	for _, st := range s.Stages {
		if st.Name == c.Stage {
			for _, from := range slices.Concat(st.Needs, st.During) {
				if results[from] != "" {
					e.link("object", results[from])
				}
			}
		}
	}
	told := func(property, kind, name, value string) {
		id := kind + escape(name) + "=" + escape(value)
		b.add(id, "PropertyValue", entity{"name": name})["value"] = value
		e.link(property, id)
	}
	for name, v := range Sorted(c.Env) {
		told("environment", "#env/"+escape(c.Stage)+"/", name, v)
	}
	for _, p := range c.Parts {
		told("object", "#part/", p.Name, p.Value)
	}
	for _, f := range c.Facts {
		told("object", "#fact/", f[0], f[1])
	}
	for _, sw := range c.Software {
		sid := s.Site + "/software/" + escape(sw.Name) + "/" + escape(cmp.Or(sw.Version, sw.Digest))
		b.add(sid, "SoftwareApplication", entity{"name": sw.Name, b.version: cmp.Or(sw.Version, sw.Digest), "sha256": sw.Digest, "url": s.Site})
		e.link("instrument", sid)
	}
	for _, out := range b.outputs(c.ID) {
		e.link("result", out)
	}
	if e["result"] == nil {
		e.link("result", Provenance) // which says what came of it
	}
	wall := c.Ended.Sub(c.Started)
	if c.Recorded {
		wall = c.Timed
	}
	if wall > 0 {
		pv := id + "/wall"
		name := "wall time"
		if c.Recorded {
			name = "timed window"
		}
		b.add(pv, "PropertyValue", entity{"name": name, "propertyID": s.Site + "/terms#wall", "unitCode": "https://qudt.org/vocab/unit/SEC", "value": strconv.FormatFloat(wall.Seconds(), 'f', -1, 64)})
		e.link("resourceUsage", pv)
	}
	b.acts = append(b.acts, id)
	control := "#control/" + escape(c.ID)
	b.add(control, "ControlAction", entity{"name": "orchestrate " + c.ID, "instrument": ref(b.workflowID() + "#" + escape(c.Stage)), "object": ref(id), "agent": ref(who),
		"actionStatus": e["actionStatus"], "startTime": e["startTime"], "endTime": e["endTime"]})
	return control
}

// value adds a parameter of a tool with a value.
func (b *builder) value(formal, name string, value json.RawMessage, tool string) string {
	id := b.parameter(formal, name, value)
	if e := b.index[tool]; e != nil {
		if have, _ := e["input"].([]map[string]string); !slices.ContainsFunc(have, func(r map[string]string) bool { return r["@id"] == formal }) {
			e.link("input", formal)
		}
	}
	return id
}

// outputs returns the ids of what a cell left, adding those that the crate does not
// hold, each by its digest.
func (b *builder) outputs(id string) (ids []string) {
	c := b.cells[id]
	if c == nil { // not among those that ran
		return nil
	}
	for _, out := range c.Outputs {
		if out.Path != "" {
			b.index[escape(out.Path)]["alternateName"] = out.Name
			ids = append(ids, escape(out.Path))
			continue
		}
		oid := "ni:///sha-256;" + out.Digest
		b.add(oid, "CreativeWork", entity{"name": out.Name, "description": "left out of this crate; kept in the store of whoever made it", "contentSize": strconv.FormatInt(out.Size, 10), "sha256": out.Digest})
		ids = append(ids, oid)
	}
	return ids
}

// claims adds what was concluded.
func (b *builder) claims() {
	for _, c := range b.state.Claims {
		id := "#claim/" + escape(c.ID)
		e := b.add(id, "Claim", entity{"name": c.ID, "text": c.Says, "description": strings.TrimSuffix(cmp.Or(c.Verdict, "not judged")+": "+c.Because, ": "), "creativeWorkStatus": c.Verdict})
		for i := range b.state.Cells {
			if b.state.Cells[i].Stage == c.JudgedBy {
				e.link("isBasedOn", "#cell/"+escape(b.state.Cells[i].ID))
			}
		}
		for _, f := range c.Figures {
			e.link("subjectOf", escape(f))
		}
		b.index["./"].link("mentions", id)
	}
}

// A Found is an assessment and the file that holds it.
type Found struct {
	Path string
	Assessment
}

// assessment adds a judgement made since.
func (b *builder) assessment(f Found) {
	b.add(f.Path, "File", entity{"name": f.Path, "encodingFormat": "application/json", "description": "verdicts on the claims, " + f.Means})
	b.parts = append(b.parts, f.Path)
	place := "#" + f.Path + "/host"
	b.add(place, "Place", entity{"name": strings.TrimSuffix(f.Machine.Name+": "+f.Machine.Description, ": "), "description": strings.Join([]string{f.Host.OS, f.Host.Kernel, f.Host.CPU.Model}, ", ")})
	said := []string{}
	for _, o := range f.Claims {
		word := "as in the crate"
		if !o.Same() {
			word = "the crate says " + cmp.Or(o.Crate, "nothing")
		}
		said = append(said, fmt.Sprintf("%s %s (%s)", o.ID, o.Verdict, word))
	}
	id := "#" + f.Path
	e := b.add(id, "AssessAction", entity{"name": "claims " + f.Means + " by " + f.Agent.Name, "description": strings.Join(said, "; "), "agent": ref(b.agent(f.Agent)), "location": ref(place),
		"startTime": stamp(f.Started), "endTime": stamp(f.Ended), "actionStatus": completed, "result": ref(f.Path), "instrument": ref(b.engineID())})
	for _, o := range f.Claims {
		e.link("object", "#claim/"+escape(o.ID))
	}
	b.index["./"].link("mentions", id)
}

const (
	completed = "http://schema.org/CompletedActionStatus"
	failed    = "http://schema.org/FailedActionStatus"
)

// status is that of the whole run.
func (s *State) status() string {
	if s.failure() != "" {
		return failed
	}
	return completed
}

// failure says of a run that did not come to its end why.
func (s *State) failure() string {
	for _, c := range s.Cells {
		if c.Error != "" {
			return c.ID + " failed: " + c.Error
		}
	}
	if len(s.NotRun) > 0 {
		return fmt.Sprintf("%d cells have no result, the first of them %s: %s", len(s.NotRun), s.NotRun[0].ID, s.NotRun[0].Reason)
	}
	return ""
}

// Span is when the first cell began and the last one ended, as far as that is known.
func (s *State) Span() (begin, end time.Time) {
	for _, c := range s.Cells {
		if !c.Started.IsZero() && (begin.IsZero() || c.Started.Before(begin)) {
			begin = c.Started
		}
		if c.Ended.After(end) {
			end = c.Ended
		}
	}
	return begin, end
}

// stamp writes a time as the profile's checks take it: milliseconds, and +00:00.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000") + "+00:00"
}

// Values takes the parameters of a cell apart, sorted by name.
func Values(with json.RawMessage) (all []Parameter) {
	var fields map[string]json.RawMessage
	if len(with) == 0 || json.Unmarshal(with, &fields) != nil {
		return nil
	}
	for name, v := range Sorted(fields) {
		all = append(all, Parameter{Name: name, Value: v})
	}
	return all
}

// Sorted yields a map by name.
func Sorted[V any](m map[string]V) func(yield func(string, V) bool) {
	return func(yield func(string, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

// escape writes a name so that it may stand in an IRI's path or fragment.
func escape(name string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/=,:@"
	if strings.Trim(name, plain) == "" {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if strings.IndexByte(plain, name[i]) >= 0 {
			b.WriteByte(name[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", name[i])
		}
	}
	return b.String()
}

// media is the media type of a file, by its name.
func media(name string) string {
	return cmp.Or(types[path.Ext(name)], "application/octet-stream")
}

// types are those of media, by the end of a name.
var types = map[string]string{
	"": "text/plain", ".txt": "text/plain", ".go": "text/plain", ".md": "text/markdown", ".csv": "text/csv",
	".yaml": "application/yaml", ".yml": "application/yaml", ".cff": "application/yaml", ".json": "application/json",
	".gz": "application/gzip", ".pdf": "application/pdf", ".svg": "image/svg+xml", ".png": "image/png",
}
