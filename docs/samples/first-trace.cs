#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
using Ndif;

var llm = new LanguageModel("ndif/tiny-landmarks");          // nothing is loaded until the first run
var h = llm["transformer.h"];

var (hidden, logits) = await llm.TraceAsync("The Eiffel Tower is in the city of",
    t => (h[^1].Output[0].Save(), llm.LmHead.Output.Save()));
Console.WriteLine($"{hidden.Shape} {llm.Tokenizer.Decode(logits.Tensor[0, ^1].ArgMax())}");
// prints: [1, 8, 128]  Paris

using var trace = llm.Trace();                                // two prompts, one forward pass
Saved paris, rome;
using (trace.Invoke("The Eiffel Tower is in the city of"))
    paris = h[1].Hidden[.., ^1].Save();
using (trace.Invoke("Vatican is in the city of"))
{
    h[^1].Hidden[.., ^1] = 0;                                 // switch the last position off, only here
    rome = llm.LmHead.Output[0, ^1].ArgMax(-1).Save();
}
await trace.RunAsync();
Console.WriteLine($"{paris.Shape} {llm.Tokenizer.Decode(rome)}");
// prints: [1, 128]
