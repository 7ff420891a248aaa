#:project ../../src/Engine/Engine.csproj
#:project ../../src/Plots/Plots.csproj
#:property RunsTorch=true
// Section 5.1 of the walkthrough: the operations inside of a module; and what each layer attends to.
using Ndif;

var llm = new LanguageModel("ndif/tiny-landmarks");
var h = llm["transformer.h"];
const string Eiffel = "The Eiffel Tower is in the city of";

Console.WriteLine(h[0]["attn"].Source);                         // the forward's lines with the names of their operations
// prints: self_c_attn_0         ->
// prints: attention_interface_0 ->

Console.WriteLine(h[0]["attn"].Source["attention_interface_0"].Source["softmax_0"]);    // one line, with those around it
// prints: transformer.h.0.attn.source.attention_interface_0.softmax_0: [batch, heads, seq, kvSeq]

using (var t = llm.Trace("Hello"))
{
    var attention = h[0]["attn"].Source["attention_interface_0"].Output.Save();
    await t.RunAsync();
    Console.WriteLine($"{attention[0].Shape} {attention[1].Shape}");
}
// prints: [1, 1, 4, 32] [1, 4, 1, 1]

// Which token does the last one attend to most, in each layer, over all heads?
using (var t = llm.Trace(Eiffel))
{
    var patterns = llm.Layers.Select(layer => layer.AttentionProbabilities[0, .., ^1].Mean(0).Save()).ToList();
    await t.RunAsync();
    var tokens = llm.Tokenizer.Encode(Eiffel);
    for (int layer = 0; layer < patterns.Count; layer++)
    {
        int most = (int)patterns[layer].Tensor.ArgMax().Item<long>();
        Console.WriteLine($"layer {layer} attends to '{llm.Tokenizer.Decode([tokens[most]])}'");
    }
}
// prints: layer 0 attends to ' Tower'
// prints: layer 3 attends to ' of'

// All heads of the last layer, as a picture
var heads = await llm.TraceAsync(Eiffel, t => llm.Layers[^1].AttentionProbabilities.Save());
string path = Path.Combine(args.Length > 0 ? args[0] : Path.GetTempPath(), "attention.html");
Plots.Attention(heads, llm.Tokenizer.BatchDecode(llm.Tokenizer.Encode(Eiffel)), title: "Attention of the last layer").Save(path);
Console.WriteLine($"attention patterns: {path}");

// Blind the last token to the name, in each head's scores before the softmax: is the next one still Paris?
using (var t = llm.Trace(Eiffel))
{
    foreach (var layer in h) layer["attn"].Source["scores"].Output[.., .., ^1, 1..3] = -1e9;
    var next = llm.LmHead.Output[0, ^1].ArgMax(-1).Save();
    await t.RunAsync();
    Console.WriteLine($"blind to 'Eiffel Tower':{llm.Tokenizer.Decode(next)}");
}
// prints: blind to 'Eiffel Tower': Venice
