#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
// The logit lens (nostalgebraist, 2020): what each layer would predict, by calling the final norm and the head on its hidden state.
using Ndif;

var llm = new LanguageModel("ndif/tiny-landmarks");

var lens = await llm.TraceAsync("The Eiffel Tower is in the city of",
    t => llm.Layers.Select(layer => llm.LmHead.Call(llm.FinalNorm.Call(layer.Hidden))[0, ^1].ArgMax(-1).Save()).ToList());
for (int i = 0; i < lens.Count; i++) Console.WriteLine($"layer {i}:{llm.Tokenizer.Decode(lens[i])}");
// prints: layer 0: Paris
// prints: layer 3: Paris
