using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>
/// The models that are made from a causal language model: LlamaModel, its base model alone, and LlamaForSequenceClassification and
/// LlamaForTokenClassification, its base model with a head that classifies.
/// </summary>
internal static class DerivedModels
{
    private delegate PreTrainedModel Derive(string className, DecoderForCausalLM origin, ConfigReader config);

    private static readonly (string Suffix, Derive Derive)[] _tasks =
    [
        ("ForSequenceClassification", static (name, origin, config) => new DecoderForSequenceClassification(name, origin, config)),
        ("ForTokenClassification", static (name, origin, config) => new DecoderForTokenClassification(name, origin, config)),
        ("Model", static (_, origin, _) => origin.BaseModel.ToRoot(origin)),
    ];

    private static readonly string[] _causalSuffixes = ["ForCausalLM", "LMHeadModel", "ForConditionalGeneration"];

    /// <summary>Builds a model; null if no architecture has one of this name.</summary>
    /// <param name="find">The class of a causal language model, by its name in Hugging Face's code; null if there is none.</param>
    public static PreTrainedModel? TryBuild(string name, ConfigReader config, Func<string, Type?> find,
        Func<Type, PreTrainedModel> create)
    {
        foreach (var (suffix, derive) in _tasks)
        {
            if (!name.EndsWith(suffix, StringComparison.Ordinal)) continue;
            string family = name[..^suffix.Length];
            foreach (Type type in Candidates(family).Select(find).OfType<Type>())
                if (create(type) is DecoderForCausalLM origin && origin.BaseModel.ClassName == $"{family}Model")
                    return derive(name, origin, config);
        }
        return null;
    }

    /// <summary>Gemma3TextModel is the base model of Gemma3ForCausalLM, Gemma3Model that of Gemma3ForConditionalGeneration.</summary>
    private static IEnumerable<string> Candidates(string family)
    {
        string[] families = family.EndsWith("Text", StringComparison.Ordinal) ? [family, family[..^"Text".Length]] : [family];
        return families.SelectMany(_ => _causalSuffixes, (f, suffix) => f + suffix);
    }
}
