using Ndif.Engine.HookedModels;
using Ndif.Models.Files;
using Ndif.Models.Loading;


namespace Ndif.Fuzz;

/// <summary>The bundled model, loaded once.</summary>
internal static class ModelUnderTest
{
    private static readonly Lazy<HookedLanguageModel> _model = new(() => new HookedLanguageModel(ModelLoader.Load(ModelStore.Find("ndif/tiny-landmarks").Path)));

    public static HookedLanguageModel Model => _model.Value;
}
