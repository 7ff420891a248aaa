#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
// Section 6 of the walkthrough: an edit that stays.
using Ndif;

var llm = new LanguageModel("ndif/tiny-landmarks");
var h = llm["transformer.h"];

var parisHidden = await llm.TraceAsync("The Eiffel Tower is in the city of", t => h[^1].Output[0][.., ^1, ..].Save());
var edited = llm.Edit(() => h[^1].Output[0][.., ^1, ..] = parisHidden.Tensor);   // a new model; llm.Edit(..., inPlace: true) changes llm

var original = await llm.TraceAsync("Vatican is in the city of", t => llm.LmHead.Output[.., ^1].ArgMax(-1).Save());
var vatican = await edited.TraceAsync("Vatican is in the city of", t => edited.LmHead.Output[.., ^1].ArgMax(-1).Save());
Console.WriteLine($"original:{llm.Tokenizer.Decode(original)}, edited:{llm.Tokenizer.Decode(vatican)}");
// prints: original: Rome, edited: Paris

// Several prompts of unequal length: the edit reaches each one's own last token
using var t = edited.Trace();
Saved a, b;
using (t.Invoke("Vatican is in the city of")) a = edited.LmHead.Output[0, ^1].ArgMax(-1).Save();
using (t.Invoke("Madison Square Garden is located in the city of")) b = edited.LmHead.Output[0, ^1].ArgMax(-1).Save();
await t.RunAsync();
Console.WriteLine($"together:{llm.Tokenizer.Decode(a)},{llm.Tokenizer.Decode(b)}");
// prints: together: Paris, Paris

// As a file: the edit's program with its constants, for another process
edited.ExportEdits("paris.edits");
var imported = new LanguageModel("ndif/tiny-landmarks", edits: "paris.edits");
var again = await imported.TraceAsync("Vatican is in the city of", t => imported.LmHead.Output[.., ^1].ArgMax(-1).Save());
File.Delete("paris.edits");
Console.WriteLine($"from a file:{llm.Tokenizer.Decode(again)}");
// prints: from a file: Paris

edited.ClearEdits();
var cleared = await edited.TraceAsync("Vatican is in the city of", t => edited.LmHead.Output[.., ^1].ArgMax(-1).Save());
Console.WriteLine($"cleared:{llm.Tokenizer.Decode(cleared)}");
// prints: cleared: Rome
