namespace Ndif.Protocol;

/// <summary>The tasks of models, by the names of Hugging Face.</summary>
public static class ModelTaskExtensions
{
    /// <summary>Whether a model of the task generates text.</summary>
    public static bool Generates(this ModelTask task) => task is ModelTask.CausalLm or ModelTask.Seq2SeqLm;

    /// <summary>The name of a task: "sequence classification".</summary>
    public static string ToName(this ModelTask task) => task switch
    {
        ModelTask.CausalLm => "causal language modeling",
        ModelTask.FeatureExtraction => "feature extraction",
        ModelTask.SequenceClassification => "sequence classification",
        ModelTask.TokenClassification => "token classification",
        ModelTask.MaskedLm => "masked language modeling",
        ModelTask.Seq2SeqLm => "sequence-to-sequence language modeling",
        _ => "unknown",
    };
}
