using System.Reflection;

namespace Ndif.Models.Tests.Source;

public sealed class SourceTreeTests
{
    public static TheoryData<string> Modules =>
        [.. typeof(SiteModule).Assembly.GetTypes().Where(t => t.IsSubclassOf(typeof(SiteModule)) && !t.IsAbstract
            && t.GetMethod("Forward", BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.DeclaredOnly) is not null).Select(t => t.FullName!)];

    [Theory, MemberData(nameof(Modules))]
    public void EveryModule_HasItsSource(string name)
    {
        Type type = typeof(SiteModule).Assembly.GetType(name)!;
        Assert.Equal(type, type.GetProperty(nameof(SiteModule.Source))!.DeclaringType);
        Assert.Equal(type, type.GetMethod(nameof(SiteModule.RunWatched))!.DeclaringType);
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
    [InlineData("[rows, tokens, width]", 0, 1, -1)]
    [InlineData("[rows, heads, tokens, keys]", 0, 2, 3)]
    [InlineData("[rows · tokens, width]", 0, 0, -1)]
    [InlineData("[rows, keys]", 0, -1, 1)]
    [InlineData("[..., width]", 5, 6, 7)]
    [InlineData("[rows·groups, keys, width]", -2, -1, -1)]
    [InlineData("[tokens, keys]", -2, -1, -1)]
    [InlineData("[rows, heads/groups·tokens, width]", -2, -1, -1)]
    [InlineData("[width]", -2, -1, -1)]
    [InlineData("[]", -2, -1, -1)]
    [InlineData("?", -2, -1, -1)]
    [InlineData("", -2, -1, -1)]
    public void AShapeInWords_SaysTheDimensions_OrThatTheyAreNotKnown(string text, int rows, int tokens, int keys) =>
        Assert.Equal(new Axes(rows, tokens, keys), ShapeText.Axes(text, 0, new Axes(5, 6, 7)));

    [Fact]
    public void OfATuple_EachElementHasItsOwn_AndTheLastStandsForMore()
    {
        const string Text = "[rows, tokens, heads, width] [rows, heads, tokens, keys]";
        Assert.Equal(Axes.Hidden, ShapeText.Axes(Text, 0, Axes.Hidden));
        Assert.Equal(Axes.Attention, ShapeText.Axes(Text, 1, Axes.Hidden));
        Assert.Equal(Axes.Attention, ShapeText.Axes(Text, 2, Axes.Hidden));
    }
}
