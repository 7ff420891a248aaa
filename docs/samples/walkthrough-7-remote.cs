#:project ../../src/Cli/Cli.csproj
#:property RunsTorch=true
#:property PublishAot=false
// Section 7 of the walkthrough: the same on a service. Here it is started in this process; usually NDIF_HOST and NDIF_API_KEY say where one
// is.
using Ndif;

await using var service = await EmbeddedService.StartAsync();
NdifConfig.SetDefaultHost(service.Host);
NdifConfig.SetDefaultApiKey(service.Key);

const string Eiffel = "The Eiffel Tower is in the city of";
var llm = new LanguageModel("ndif/tiny-landmarks");
var h = llm["transformer.h"];

using (var t = llm.Trace(Eiffel, remote: true))
{
    t.Log("layer 0:", h[0].Hidden.Shape);                       // a log event, while it runs
    var hs = llm.Layers[^1].Output.Save();                      // standard names: Layers, Embed, FinalNorm, LmHead; .Hidden, .Attn, .Mlp
    var output = llm.Output.Save();
    await t.RunAsync(CancellationToken.None);                   // cancelling cancels the job on the service
    Console.WriteLine($"{hs[0].Shape} {output["logits"].Shape}");
}
// prints: layer 0: [1, 8, 128]
// prints: [1, 8, 128] [1, 8, 1422]

// Errors keep their kind and name the user's line, as here
try
{
    using var t = llm.Trace(Eiffel, remote: true);
    h[3].Output.Save();
    h[0].Output.Save();                                         // has already run
    await t.RunAsync();
}
catch (OutOfOrderException e) { Console.WriteLine(e.Message); }
// prints: Value was missed for `transformer.h.0.output`
// prints: walkthrough-7-remote.cs:

using (var t = llm.Trace(Eiffel, remote: true))                 // not waiting
{
    var top = llm.LmHead.Output[0, ^1].TopK(5).Save();
    Job job = await t.SubmitAsync();
    await foreach (JobEvent e in job.Events()) Console.WriteLine(e);
    Console.WriteLine(llm.Tokenizer.Decode(((Saved)top[1]).Tensor));
    Job same = await Job.AttachAsync(job.Id);                   // also from another process
    Console.WriteLine($"the same job: {(await same.GetAsync()).State}");
}
// prints: completed
// prints:  Paris
// prints: the same job: Completed
foreach (var m in (await Status.GetAsync()).Models) Console.WriteLine(m.Id);
// prints: ndif/tiny-landmarks

// A session: several traces, one job, values flow between them on the service
using (var s = llm.Session(remote: true))
{
    Value clean; Saved restored;
    using (llm.Trace("When Mary and John went to the store, John gave a drink to")) clean = h[^1].Hidden[.., ^1, ..];
    using (llm.Trace("When Mary and John went to the store, Mary gave a drink to"))
    {
        h[^1].Hidden[.., ^1, ..] = clean;
        restored = llm.LmHead.Output[0, ^1].Softmax(-1).ArgMax(-1).Save();
    }
    await s.RunAsync();
    Console.WriteLine($"restored:{llm.Tokenizer.Decode(restored)}");
}
// prints: restored: Mary
