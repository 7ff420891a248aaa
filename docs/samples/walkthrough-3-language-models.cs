#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
// Section 3 of the walkthrough: prompts, invokes, generation.
using Ndif;

var llm = new LanguageModel("ndif/tiny-landmarks");
var h = llm["transformer.h"];
Console.WriteLine(llm);
// prints:       (0-3): 4 x GPT2Block(

var (hidden, logits) = await llm.TraceAsync("The Eiffel Tower is in the city of", t => (h[^1].Output[0].Save(), llm.LmHead.Output.Save()));
Console.WriteLine($"{hidden.Shape}{llm.Tokenizer.Decode(logits.Tensor[0, ^1].ArgMax())}");
// prints: [1, 8, 128] Paris

// Several prompts, one forward pass
using (var t = llm.Trace())
{
    Saved paris, london;
    using (t.Invoke("The Eiffel Tower is in")) paris = llm.LmHead.Output[.., ^1].ArgMax(-1).Save();
    using (t.Invoke("Big Ben is in")) london = llm.LmHead.Output[.., ^1].ArgMax(-1).Save();
    await t.RunAsync();
    Console.WriteLine($"in:{llm.Tokenizer.Decode(paris)} |{llm.Tokenizer.Decode(london)}");
}
// prints: in: the | the

// A value of one prompt used in another
using (var t = llm.Trace())
{
    var barrier = t.Barrier(2);
    Value embeddings; Saved patched;
    using (t.Invoke("Madison Square Garden is located in the city of"))
    {
        embeddings = llm["transformer.wte"].Output;
        barrier.Wait();
    }
    using (t.Invoke("_ _ _ _ _ _ _ _ _"))
    {
        barrier.Wait();
        llm["transformer.wte"].Output = embeddings;
        patched = llm.LmHead.Output[.., ^1].ArgMax(-1).Save();
    }
    await t.RunAsync();
    Console.WriteLine($"patched:{llm.Tokenizer.Decode(patched)}");
}
// prints: patched: New

// Generation, and iteration over its steps
using (var t = llm.Generate("The Eiffel Tower is in", maxNewTokens: 5))
{
    var ids = t.Result.Save();
    await t.RunAsync();
    Console.WriteLine(llm.Tokenizer.Decode(ids));
}
// prints: The Eiffel Tower is in the middle of Paris.

using (var t = llm.Generate("The Eiffel Tower is in", maxNewTokens: 5))
{
    var tokens = new List<Saved>();
    foreach (int step in t.Iter[..])                            // unrolled while recording: a plain int, a plain if
    {
        if (step == 2) h[0].Output[0][..] = 0;
        tokens.Add(llm.LmHead.Output[0, ^1].ArgMax(-1).Save());
    }
    await t.RunAsync();
    Console.WriteLine(string.Join("|", llm.Tokenizer.BatchDecode(tokens)));
}
// prints:  the| middle| glass| ocean| ticket

using (var t = llm.Generate("Hello", maxNewTokens: 8))
{
    var norms = t.List();                                       // one region instead of unrolling: for unknown step counts
    t.Iter.Each(step =>
    {
        t.If(step.Eq(2), () => h[0].Hidden[..] = 0).Else(() => t.Log("step", step));
        norms.Append(h[^1].Hidden.Norm());
    });
    var saved = norms.Save();
    var final = t.Result.Save();                                // code after an iteration runs
    await t.RunAsync();
    Console.WriteLine($"{((object?[])saved.Result!).Length} norms, result {final.Shape}");
}
// prints: step 1
// prints: 8 norms, result [1, 9]
