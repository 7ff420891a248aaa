using Ndif.Engine.Subjects;
using Ndif.Models;

namespace Ndif.Fuzz;

/// <summary>The bundled model, loaded once.</summary>
internal static class ModelUnderTest
{
    private static readonly Lazy<LanguageSubject> s_subject = new(() => new LanguageSubject(ModelLoader.Load(ModelStore.Find("ndif/tiny-landmarks").Path)));

    public static LanguageSubject Subject => s_subject.Value;
}
