#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
// Generation: sampling, seeds, stop texts, beams, tokens as they come, tokens that are forced.
using Ndif;

var llm = new LanguageModel("ndif/tiny-landmarks");
const string Tower = "The Eiffel Tower is in";

// How it generates where a call does not say; an argument always wins
Console.WriteLine(llm.GenerationDefaults.Options);
// prints: { "eos": [ "0" ] }

// The likeliest tokens, each told as it comes
using (var t = llm.Generate(Tower, maxNewTokens: 5))
{
    t.OnToken = token => Console.Write($"[{token.Text}]");
    await t.RunAsync();
    Console.WriteLine();
}
// prints: [ the][ middle][ of][ Paris][.]

// Drawn tokens: the same seed draws the same ones, alone or beside others, here and remotely
using (var t = llm.Generate(maxNewTokens: 4, options: new() { Temperature = 1.5, TopK = 20 }))
{
    Saved one, two, other;
    using (t.Invoke(Tower, new() { Seed = 7 })) one = t.Result.Save();
    using (t.Invoke(Tower, new() { Seed = 7 })) two = t.Result.Save();
    using (t.Invoke(Tower, new() { Seed = 8 })) other = t.Result.Save();
    await t.RunAsync();
    Console.WriteLine(
        $"{one.ToArray<long>().SequenceEqual(two.ToArray<long>())} {one.ToArray<long>().SequenceEqual(other.ToArray<long>())}");
}
// prints: True False

// A text that ends the row when it is complete, wherever the tokens are cut
using (var t = llm.Generate(Tower, maxNewTokens: 5, new() { StopStrings = ["the mid"] }))
{
    var ids = t.Result.Save();
    await t.RunAsync();
    Console.WriteLine($"stopped: {llm.Tokenizer.Decode(ids)}");
}
// prints: stopped: The Eiffel Tower is in the middle

// Beams: sites show rows * beams, the result the best sequences
using (var t = llm.Generate(Tower, maxNewTokens: 4, new() { NumBeams = 3, NumReturnSequences = 2 }))
{
    var logits = llm.Logits.Shape.Save();
    var best = t.Result.Save();
    await t.RunAsync();
    Console.WriteLine($"beams: {logits}, best: {best.Shape}");
}
// prints: beams: [3, 5, 1422], best: [2, 9]

// The streamer's site: the row continues with the token that is written to it
using (var t = llm.Generate(Tower, maxNewTokens: 4))
{
    // call 0 is the prompt, call 1 the first new token
    foreach (int step in t.Iter[1]) llm.Generator.Streamer.Output = llm.Tokenizer.Encode(" Rome")[0];
    var ids = llm.Generator.Output.Save();                                                              // t.Result by nnsight's name
    await t.RunAsync();
    Console.WriteLine($"forced: {llm.Tokenizer.Decode(ids)}");
}
// prints: forced: The Eiffel Tower is in Rome

// The next call of a module, without a loop
using (var t = llm.Generate(Tower, maxNewTokens: 3))
{
    var first = llm.LmHead.Output[0, ^1].ArgMax(-1).Save();
    var second = llm.LmHead.Next().Output[0, ^1].ArgMax(-1).Save();
    await t.RunAsync();
    Console.WriteLine($"next:{llm.Tokenizer.Decode(first)}{llm.Tokenizer.Decode(second)}");
}
// prints: next: the middle
