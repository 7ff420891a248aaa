using System.Reflection;
using Ndif.Models.Files;
using Ndif.Models.ForwardSource;
using Ndif.Models.Loading;

namespace Ndif.Models.Tests.ForwardSource;

public sealed class SourceTreeTests
{
    public static TheoryData<string> Modules =>
        [.. typeof(SiteModule).Assembly.GetTypes().Where(t => t.IsSubclassOf(typeof(SiteModule)) && !t.IsAbstract
            && t.GetMethod("Forward", BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.DeclaredOnly) is not null)
            .Select(t => t.FullName!)];

    [Theory, MemberData(nameof(Modules))]
    public void EveryModule_HasItsSource(string name)
    {
        Type type = typeof(SiteModule).Assembly.GetType(name)!;
        Assert.Equal(type, type.GetProperty(nameof(SiteModule.Source))!.DeclaringType);
        Assert.Equal(type, type.GetMethod(nameof(SiteModule.RunWithHooks))!.DeclaringType);
    }

    [Fact]
    public void Paths_AreUnique_AndLeadToTheirOperations()
    {
        using LoadedModel model = TinyModel.Load(ModelStore.TinyLandmarks);
        foreach (SiteModule module in model.Modules.Where(m => m.Source is not null))
        {
            SourceTree tree = SourceTree.Of(module.Source!);
            for (int i = 0; i < tree.Sites.Count; i++) Assert.Equal(i, tree.IndexOf(tree.Sites[i].Path));
        }
        Assert.Equal(-1, SourceTree.Of(model.Module("transformer.h.0.attn")!.Source!).IndexOf("attention_interface_0.nothing"));
    }

    [Fact]
    public void TheText_IsThatOfTheFile()
    {
        using LoadedModel model = TinyModel.Load(ModelStore.TinyLandmarks);
        SourceFunction source = model.Module("transformer.h.0.attn")!.Source!;
        Assert.Equal(("GPT2Attention.Forward", "GPT2.cs"), (source.Name, source.File));
        string[] lines = source.Text.Split('\n');
        SourceOperation projection = source.Operations.First(o => o.Name == "self_c_proj_0");
        Assert.Contains("_cProj.Call(", lines[projection.Line - source.Line], StringComparison.Ordinal);
        Assert.Equal(model.Module("transformer.h.0.attn.c_proj"), projection.Submodule!(model.Module("transformer.h.0.attn")!));
    }

    [Theory]
    [InlineData("[batch, seq, hidden]", 0, 1, -1)]
    [InlineData("[batch, heads, seq, kvSeq]", 0, 2, 3)]
    [InlineData("[batch · seq, hidden]", 0, 0, -1)]
    [InlineData("[batch, kvSeq]", 0, -1, 1)]
    [InlineData("[..., hidden]", 5, 6, 7)]
    [InlineData("[batch·kvHeads, kvSeq, headDim]", -2, -1, -1)]
    [InlineData("[seq, kvSeq]", -2, -1, -1)]
    [InlineData("[batch, heads/kvHeads·seq, headDim]", -2, -1, -1)]
    [InlineData("[hidden]", -2, -1, -1)]
    [InlineData("[]", -2, -1, -1)]
    [InlineData("?", -2, -1, -1)]
    [InlineData("", -2, -1, -1)]
    public void AShapeInWords_SaysTheDimensions_OrThatTheyAreNotKnown(string text, int batch, int seq, int kvSeq) =>
        Assert.Equal(new Axes(batch, seq, kvSeq), ShapeParser.ParseAxes(text, 0, new Axes(5, 6, 7)));

    [Fact]
    public void OfATuple_EachElementHasItsOwn_AndTheLastStandsForMore()
    {
        const string Text = "[batch, seq, heads, headDim] [batch, heads, seq, kvSeq]";
        Assert.Equal(Axes.Hidden, ShapeParser.ParseAxes(Text, 0, Axes.Hidden));
        Assert.Equal(Axes.Attention, ShapeParser.ParseAxes(Text, 1, Axes.Hidden));
        Assert.Equal(Axes.Attention, ShapeParser.ParseAxes(Text, 2, Axes.Hidden));
    }
}
