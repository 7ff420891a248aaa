using Ndif.Engine.HookedModels;
using Ndif.Models.Files;
using Ndif.Models.Loading;
using Ndif.Tests.Support;

namespace Ndif.Fuzz.Targets;

/// <summary>The bundled model, loaded once.</summary>
internal static class ModelUnderTest
{
    private static readonly Lazy<HookedLanguageModel> _model =
        new(() => new HookedLanguageModel(ModelLoader.Load(ModelStore.Find("ndif/tiny-landmarks").Path)));

    public static HookedLanguageModel Model => _model.Value;

    /// <summary>The description of the model from which random programs are generated.</summary>
    public static RandomProgramModel ForPrograms => new(Model.Paths, Model.Description, Model.IsOnMetaDevice,
        path => [.. Model.Source(Model.IndexOf(path))?.Sites.Select(site => site.Path) ?? []]);
}
