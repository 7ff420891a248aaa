using System.Security.Cryptography;
using Google.Protobuf;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Recording;

namespace Ndif;

/// <summary>
/// The file of a model's edits: eight bytes that identify the format, the SHA-256 of the rest, and an <see cref="Edits"/> message. The
/// edits are the invokes of one recorded trace. A model that reads the file records them again into each of its traces.
/// </summary>
internal static class EditsFile
{
    private static ReadOnlySpan<byte> Magic => "NDIFedit"u8;

    public static void Write(TracedModel model, string path)
    {
        RequireEdits(model, "export", "exported");
        byte[] edits = new Edits
        {
            Model = model.Reference.Id,
            Architecture = model.Description.Architecture,
            Parameters = model.Description.Parameters,
            Program = RecordEdits(model, Mode.Forward),
        }.ToByteArray();
        using FileStream file = File.Create(path);
        file.Write(Magic);
        file.Write(SHA256.HashData(edits));
        file.Write(edits);
    }

    /// <summary>Reads the edits, each of which records itself into the open trace.</summary>
    public static IReadOnlyList<PersistentEdit> Read(TracedModel model, string path)
    {
        Edits edits = Parse(path);
        ModelDescription description = model.Description;
        if (edits.Architecture != description.Architecture || edits.Parameters != description.Parameters)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"The edits of `{path}` are of `{edits.Model}` ({edits.Architecture}, {edits.Parameters} parameters); this model is "
                    + $"`{model.Reference.Id}` ({description.Architecture}, {description.Parameters} parameters).",
                "Import them into the model that they were made on.");
        if (ProgramValidator.Validate(edits.Program, model.Attachments.RemoveFrom(description), ProgramValidator.LocalLimits) is { } error)
            throw Errors.CreateException(
                error.Code, $"The edits of `{path}` cannot be used with this model: {error.Message}", error.Hint, error.Module);
        var source = new ProgramReplay(edits.Program);
        foreach (DefineModule module in source.Modules) Attach(model, module, new ImportedModule(source, module));
        Protocol.Messages.Trace trace = edits.Program.Nodes.Single(n => n.KindCase is Node.KindOneofCase.Trace).Trace;
        return [.. trace.Invokes.Where(invoke => invoke.HasBeside).Select(invoke => new PersistentEdit(
            () => source.Replay(invoke.Region, Recorder.Current(what: "An edit"), model.Attachments),
            invoke.Adapter ? source.ReadAdapter(invoke.Region) : null))];
    }

    private static void Attach(TracedModel model, DefineModule module, ImportedModule definition)
    {
        (string parent, string name) = ModulePaths.Split(module.Path);
        model.Get(parent).Attach(name, definition);
    }

    /// <summary>The id of the model whose edits a file has.</summary>
    /// <exception cref="NdifException">CORRUPT_DATA: it is no file of edits, or it is damaged.</exception>
    public static string ReadModelId(string path) => Parse(path).Model;

    /// <summary>
    /// The edits of a model as a generation records them, beside a placeholder for the prompt: each is applied in every step.
    /// </summary>
    public static Program RecordGeneration(TracedModel model)
    {
        RequireEdits(model, "publish", "published");
        return RecordEdits(model, Mode.Generate);
    }

    private static void RequireEdits(TracedModel model, string verb, string participle)
    {
        if (model.Edits.Count == 0)
            throw new InvalidOperationException(
                $"There are no edits to {verb}: a model cannot be {participle} before Edit(...) was called on it.");
    }

    private static Program RecordEdits(TracedModel model, Mode mode)
    {
        if (Recorder.Ambient is not null)
            throw new InvalidOperationException("Edits cannot be recorded while a trace is open.");
        Recorder recorder = Recorder.Begin(model.Reference);
        try
        {
            recorder.Scopes.Push(model);
            // an edit applies to the rows of another invoke, so the trace needs one with an input
            var trace = new Protocol.Messages.Trace { Mode = mode, Region = recorder.RecordRegion(() => { }) };
            if (mode is Mode.Generate) trace.Generation = new Generation { MaxNewTokens = 1 };
            var input = new Input { Tokens = { new TokenRow { Ids = { 0 } } } };
            trace.Invokes.Add(new Protocol.Messages.Invoke { Region = recorder.RecordRegion(() => { }), Input = input });
            foreach (PersistentEdit edit in model.Edits)
            {
                uint region = mode is Mode.Generate
                    ? EditRecorder.Record(recorder, edit.Record, isGeneration: true, isLaterPrompt: false)
                    : recorder.RecordRegion(edit.Record);
                trace.Invokes.Add(new Protocol.Messages.Invoke { Region = region, Beside = 0, Adapter = edit.Adapter is not null });
            }
            recorder.Add(new Node { Trace = trace });
        }
        finally
        {
            recorder.End();
        }
        if (recorder.Program.Nodes.Any(n => n.KindCase is Node.KindOneofCase.Local))
            throw Errors.CreateException(ErrorCode.Unsupported,
                "An edit that calls back into this process cannot be exported.", "Express it with operations of the op table.");
        return recorder.Program;
    }

    private static Edits Parse(string path)
    {
        ReadOnlySpan<byte> file = File.ReadAllBytes(path);
        if (file.Length < Magic.Length || !file[..Magic.Length].SequenceEqual(Magic))
            throw Errors.CreateException(ErrorCode.CorruptData,
                $"`{path}` is no file of edits.", "Such files are written by model.ExportEdits(path).");
        file = file[Magic.Length..];
        const int HashSize = SHA256.HashSizeInBytes;
        if (file.Length < HashSize || !SHA256.HashData(file[HashSize..]).AsSpan().SequenceEqual(file[..HashSize]))
            throw Errors.CreateException(ErrorCode.CorruptData,
                $"The edits of `{path}` are damaged: their checksum is wrong.", "Copy the file again, or export the edits again.");
        return Edits.Parser.ParseFrom(file[HashSize..]);
    }
}
