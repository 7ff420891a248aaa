using System.Text.RegularExpressions;
using Microsoft.CodeAnalysis;

namespace Ndif.Client.Analyzers.Tests;

/// <summary>Each rule with programs that break it and programs that look alike and are right.</summary>
public sealed partial class AnalyzerTests
{
    [Theory]
    [InlineData("NDIF101", """using var t = llm.Trace("a"); var x = h[0].Hidden.Save(); Console.WriteLine(x);""")]
    [InlineData("NDIF101", """using (var t = llm.Generate("a")) { foreach (int step in t.Iter[..]) h[0].Hidden[..] = 0; }""")]
    [InlineData("NDIF101", """using (llm.Trace("a")) h[0].Hidden[..] = 0;""")]
    [InlineData("NDIF101", """llm.Trace("a");""")]
    [InlineData("NDIF101", """using var s = llm.Session(); using (var t = llm.Trace("a")) { h[0].Hidden[..] = 0; }""")] // the session
    [InlineData("NDIF101", """using var t = llm.Trace("a"); t.OnToken = token => Console.Write(token); using (t.Use()) h[0].Hidden[..] = 0;""")]
    [InlineData("", """using var t = llm.Trace("a"); await t.RunAsync();""")]
    [InlineData("", """using var t = llm.Trace("a"); t.Run();""")]
    [InlineData("", """using var t = llm.Trace("a"); Run(t); void Run(Trace trace) => trace.Run();""")]                // it leaves
    [InlineData("", """Trace Open() { var t = llm.Trace("a"); return t; } Open().Run();""")]
    [InlineData("", """using var t = llm.Trace("a"); Func<Task> run = async () => await t.RunAsync(); await run();""")]
    [InlineData("", """using var t = llm.Trace("a"); Func<System.Threading.CancellationToken, Task> run = t.RunAsync; await run(default);""")]
    [InlineData("", """using var t = llm.Trace("a", remote: true); var job = await t.SubmitAsync();""")]
    [InlineData("", """using var s = llm.Session(); using (var t = llm.Trace("a")) h[0].Hidden[..] = 0; await s.RunAsync();""")]
    public async Task ATrace_IsRun(string expected, string program) => Assert.Equal(expected, await AnalyzedProgram.IdsOfAsync(program));

    [Theory]
    [InlineData("NDIF102", "var x = h[0].Hidden; x *= 0;")]
    [InlineData("NDIF102", "var x = h[0].Output[0]; x += 1; var y = x.Save(); Console.WriteLine(y);")]  // PyTorch would edit the layer
    [InlineData("NDIF102", "var x = h[0].Attn.Source[\"q\"].Output; x /= 2; h[1].Hidden = h[0].Hidden;")]
    [InlineData("NDIF102", "var x = h[0].Hidden.Norm(); x -= 1;")]                                      // nothing reads it
    [InlineData("NDIF102", "Value x; x = h[0].Hidden; for (int i = 0; i < 3; i++) x *= i;")]
    [InlineData("NDIF102", "void Steer(Value hidden) { hidden += 1; } Steer(h[0].Hidden);")]
    [InlineData("", "h[0].Hidden *= 0; h[0].Mlp.Output[.., 7] += 2;")]                                  // sites
    [InlineData("", "var x = h[0].Hidden; x[..] *= 0; x[.., 0] += 1;")]                                 // in place
    [InlineData("", "var x = h[0].Hidden; x *= 2; h[0].Hidden = x;")]                                   // written back
    [InlineData("", "var x = h[0].Hidden; x *= 2; h[0].Hidden[..] = x.Relu();")]
    [InlineData("", "Value sum = 0; foreach (var layer in h) sum += layer.Hidden.Norm(); Console.WriteLine(sum.Save());")]
    [InlineData("", "Value sum = h[0].Hidden.Norm(); sum += h[1].Hidden.Norm(); Console.WriteLine(sum.Save());")]
    [InlineData("", "Value Twice(Value x) { x *= 2; return x; } h[0].Hidden = Twice(h[0].Hidden);")]
    [InlineData("", "var x = h[0].Hidden; x = x * 0; int n = 1; n *= 2; var d = TensorData.Zeros([2]); d *= 2; Console.WriteLine(n);")]
    public async Task ACompoundAssignment_ChangesSomething(string expected, string program) =>
        Assert.Equal(expected, await AnalyzedProgram.IdsOfAsync(program));

    [Fact]
    public async Task ACompoundAssignment_IsAnErrorThatShowsTheFix()
    {
        Diagnostic found = Assert.Single(await AnalyzedProgram.AnalyzeAsync("var x = h[0].Hidden; x *= 1 + 2;"));
        Assert.Equal(DiagnosticSeverity.Error, found.Severity);
        Assert.Contains("write `x[..] = x * (1 + 2)`", found.GetMessage(), StringComparison.Ordinal);
        Assert.Equal("docs/reference/analyzers.md#ndif102", found.Descriptor.HelpLinkUri);
    }

    [Theory]
    [InlineData("NDIF103", "Console.WriteLine(h[0].Hidden == h[1].Hidden);")]
    [InlineData("NDIF103", "Saved a = h[0].Hidden.Save(), b = h[1].Hidden.Save(); Console.WriteLine(a != b);")]
    [InlineData("NDIF103", "Console.WriteLine(TensorData.Zeros([1]) == TensorData.Zeros([1]));")]
    [InlineData("", "Value? a = h[0].Hidden; Console.WriteLine(a == null || a != default || a is null || null == a);")]
    [InlineData("", "Console.WriteLine(ReferenceEquals(h[0].Hidden, h[1].Hidden)); var same = h[0].Hidden.Eq(h[1].Hidden);")]
    [InlineData("", "Console.WriteLine(h[0] == h[1]);")]
    public async Task Equality_IsOfElements(string expected, string program) =>
        Assert.Equal(expected, await AnalyzedProgram.IdsOfAsync(program));

    [Theory]
    [InlineData("NDIF104", "CS0029", "if (h[0].Hidden.Mean() > 0) h[0].Hidden[..] = 0;")]
    [InlineData("NDIF104", "CS0029", "while (h[0].Hidden.Mean() > 0) h[0].Hidden[..] = 0;")]
    [InlineData("NDIF104", "CS0029", "var x = h[0].Hidden.Mean() > 0 ? h[1].Hidden : h[2].Hidden;")]
    [InlineData("NDIF104", "CS0218", "var x = h[0].Hidden.Mean() > 0 && h[1].Hidden.Mean() > 0;")]
    [InlineData("", null, "if (h.Count > 0 && llm.Id == \"\") h[0].Hidden[..] = 0;")]
    [InlineData("", null, "Saved a = h[0].Hidden.Save(); if (a.Item<bool>()) Console.WriteLine();")]
    public async Task ACondition_IsKnownToCSharp(string expected, string? compilerError, string program) =>
        Assert.Equal(expected, await AnalyzedProgram.IdsOfAsync(program, compilerError is null ? [] : [compilerError]));

    [Fact]
    public async Task ACondition_IsToldWithWhatToWrite() => Assert.Contains("t.If(condition",
        Assert.Single(await AnalyzedProgram.AnalyzeAsync("if (h[0].Hidden) { }", "CS0029")).GetMessage(), StringComparison.Ordinal);

    [Theory]
    [InlineData("NDIF105", """await llm.TraceAsync("a", async t => { await Task.Yield(); return h[0].Hidden.Save(); });""")]
    [InlineData("NDIF105", """await llm.TraceAsync("a", t => Task.FromResult(h[0].Hidden.Save()));""")]
    [InlineData("NDIF105", """var edited = llm.Edit(async () => { await Task.Yield(); h[0].Hidden[..] = 0; });""")]
    [InlineData("NDIF105", """using var t = llm.Trace("a"); t.Iter.Each(async step => await Task.Yield()); t.Run();""")]
    [InlineData("NDIF105", """using var t = llm.Trace("a"); t.If(true, Body); t.Run(); async void Body() => await Task.Yield();""")]
    [InlineData("", """await llm.TraceAsync("a", t => h[0].Hidden.Save()); await Task.Run(async () => await Task.Yield());""")]
    public async Task ARecordedLambda_IsNotAsync(string expected, string program) =>
        Assert.Equal(expected, await AnalyzedProgram.IdsOfAsync(program));

    [Theory]
    [InlineData("NDIF106", """using var t = llm.Trace("a"); h[0].Hidden.Save(); await t.RunAsync();""")]
    [InlineData("NDIF106", """using var t = llm.Trace("a"); var x = h[0].Hidden.Save(); await t.RunAsync();""")]
    [InlineData("NDIF106", """using var t = llm.Trace("a"); t.If(true, () => h[0].Hidden.Save()); await t.RunAsync();""")]
    [InlineData("", """using var t = llm.Trace("a"); h[0].Hidden.Save("hidden"); await t.RunAsync();""")]
    [InlineData("", """using var t = llm.Trace("a"); _ = h[0].Hidden.Save(); await t.RunAsync();""")]
    [InlineData("", """using var t = llm.Trace("a", remote: true); h[0].Hidden.Save(); Job job = await t.SubmitAsync();""")]
    [InlineData("", """void Record() => h[0].Hidden.Save(); Record();""")] // what runs it is elsewhere
    [InlineData("", """var x = await llm.TraceAsync("a", t => h[0].Hidden.Save()); Console.WriteLine(x);""")]
    public async Task ASave_IsRead(string expected, string program) => Assert.Equal(expected, await AnalyzedProgram.IdsOfAsync(program));

    private const string Generation = """using var t = llm.Generate("a", maxNewTokens: 3); Saved last = null!; var all = new List<Saved>(); """;

    [Theory]
    [InlineData("NDIF107", "t.Iter.Each(step => last = h[0].Hidden.Save());")]
    [InlineData("NDIF107", "t.Iter.Each(step => all.Add(h[0].Hidden.Save()));")]      // recorded once
    [InlineData("NDIF107", "t.ForEach([1, 2], x => { last = h[0].Hidden.Save(); });")]
    [InlineData("NDIF107", "foreach (int step in t.Iter[..]) last = h[0].Hidden.Save();")]
    [InlineData("NDIF107", "foreach (int step in t.All()) { last = h[0].Hidden.Save(); }")]
    [InlineData("", "var list = t.List(); t.Iter.Each(step => list.Append(h[0].Hidden)); last = list.Save();")]
    [InlineData("", "foreach (int step in t.Iter[..]) all.Add(h[0].Hidden.Save());")]
    [InlineData("", "foreach (int step in t.Iter[..]) if (step == 2) last = h[0].Hidden.Save();")]
    [InlineData("", "foreach (int step in t.Iter[2]) last = h[0].Hidden.Save();")]
    [InlineData("", "foreach (int step in t.Iter[..]) { last = h[0].Hidden.Save(); all.Add(last); }")]
    [InlineData("", "t.Iter.Each(step => { t.If(step.Eq(2), () => last = h[0].Hidden.Save()); });")]
    [InlineData("", "t.Iter.Each(step => { Saved mine = h[0].Hidden.Save(); t.Log(mine); });")]
    [InlineData("", "foreach (var layer in h) last = layer.Hidden.Save();")]            // no steps
    public async Task ASaveOfEachStep_IsKept(string expected, string program) => Assert.Equal(expected,
        await AnalyzedProgram.IdsOfAsync(Generation + program + " t.Run(); Console.WriteLine($\"{last} {all}\");"));

    [Fact]
    public void EveryRule_IsDocumentedUnderItsLink()
    {
        string page = File.ReadAllText(RepositoryFolder.PathOf("docs/reference/analyzers.md"));
        foreach (DiagnosticDescriptor rule in AnalyzedProgram.Rules)
        {
            Assert.Equal($"docs/reference/analyzers.md#{rule.Id.ToLowerInvariant()}", rule.HelpLinkUri);
            Assert.Contains($"\n## {rule.Id}\n", page, StringComparison.Ordinal);
            Assert.Contains(rule.Title.ToString(), page, StringComparison.Ordinal);
        }
        Assert.Equal(AnalyzedProgram.Rules.Count(), Heading().Count(page));
    }

    [GeneratedRegex("^## NDIF", RegexOptions.Multiline)]
    private static partial Regex Heading();
}
