use elivepatch_model::{
    BuildKey, BuildNumber, BuildOptions, BuildState, Failure, Fault, Manifest, ProbeRecord,
    Sha256Digest, StepState, limits,
};
use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};

use crate::{
    KeptBlob, LeaseProof, RETRY_DELAY, Store, StoreError,
    blobs::record_blob,
    events::{append_state, end_steps},
    lease::require_lease,
    lost::{Loss, end_failed, requeue},
    row::{from_json, parse_digest, to_json},
    time::later,
};

impl Store {
    /// Notes the module that a worker uploaded for its build.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the proof does not hold.
    pub async fn set_module(
        &self,
        proof: &LeaseProof,
        module: KeptBlob,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        require_lease(&mut transaction, proof, now).await?;
        record_blob(&mut transaction, module, now).await?;
        sqlx::query("UPDATE builds SET module = ? WHERE number = ?")
            .bind(module.digest.to_string())
            .bind(proof.number.0)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Ends a build with a livepatch. The manifest must be that of this build and of the module
    /// that was uploaded.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the proof does not hold, [`StoreError::WrongManifest`].
    pub async fn complete(
        &self,
        proof: &LeaseProof,
        manifest: &Manifest,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        require_lease(&mut transaction, proof, now).await?;
        let (key, module, size): (String, Option<String>, Option<i64>) = sqlx::query_as(
            "SELECT build_key, module, (SELECT size_bytes FROM blobs WHERE digest = module)
             FROM builds WHERE number = ?",
        )
        .bind(proof.number.0)
        .fetch_one(&mut *transaction)
        .await?;
        let key = BuildKey(parse_digest(&key, &format!("the key of build {}", proof.number))?);
        if is_probe(&mut transaction, proof.number).await? {
            let reason = "it is a probe, of which nothing is published".to_owned();
            return Err(StoreError::WrongManifest { number: proof.number, reason });
        }
        check_manifest(manifest, key, module.as_deref(), size)
            .map_err(|reason| StoreError::WrongManifest { number: proof.number, reason })?;
        sqlx::query(
            "UPDATE builds SET state = 'succeeded', manifest = ?, finished_at = ?,
                    lease_token = NULL, lease_worker = NULL, lease_deadline = NULL
             WHERE number = ?",
        )
        .bind(to_json(manifest))
        .bind(now.as_microsecond())
        .bind(proof.number.0)
        .execute(&mut *transaction)
        .await?;
        // The worker's last events may not have come through.
        end_steps(&mut transaction, proof.number, StepState::Done).await?;
        append_state(&mut transaction, proof.number, BuildState::Succeeded, None, now).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Ends a probe with what it found.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the proof does not hold, [`StoreError::NoProbe`].
    pub async fn complete_probe(
        &self,
        proof: &LeaseProof,
        probe: &ProbeRecord,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        require_lease(&mut transaction, proof, now).await?;
        if !is_probe(&mut transaction, proof.number).await? {
            return Err(StoreError::NoProbe(proof.number));
        }
        sqlx::query(
            "UPDATE builds SET state = 'succeeded', probe = ?, finished_at = ?,
                    lease_token = NULL, lease_worker = NULL, lease_deadline = NULL
             WHERE number = ?",
        )
        .bind(to_json(probe))
        .bind(now.as_microsecond())
        .bind(proof.number.0)
        .execute(&mut *transaction)
        .await?;
        // The worker's last events may not have come through.
        end_steps(&mut transaction, proof.number, StepState::Done).await?;
        append_state(&mut transaction, proof.number, BuildState::Succeeded, None, now).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Ends an attempt without a livepatch. A build that failed by the machine's fault goes back
    /// to the queue while attempts are left, any other is failed for good. Gives the new state.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the proof does not hold.
    pub async fn fail(
        &self,
        proof: &LeaseProof,
        failure: &Failure,
        now: Timestamp,
    ) -> Result<BuildState, StoreError> {
        let mut transaction = self.write().await?;
        require_lease(&mut transaction, proof, now).await?;
        let losses: i64 = sqlx::query_scalar("SELECT losses FROM builds WHERE number = ?")
            .bind(proof.number.0)
            .fetch_one(&mut *transaction)
            .await?;
        let losses = u32::try_from(losses).unwrap_or(u32::MAX);
        let again = failure.class.fault() == Fault::Infrastructure && losses < limits::ATTEMPTS;
        if again {
            let not_before = later(now, RETRY_DELAY * (losses + 1));
            requeue(
                &mut transaction,
                proof.number,
                Loss::Counts { not_before },
                Some(failure),
                now,
            )
            .await?;
        } else {
            end_failed(&mut transaction, proof.number, failure, now).await?;
        }
        transaction.commit().await?;
        Ok(if again { BuildState::Queued } else { BuildState::Failed })
    }
}

async fn is_probe(
    transaction: &mut Transaction<'_, Sqlite>,
    number: BuildNumber,
) -> Result<bool, StoreError> {
    let options: String = sqlx::query_scalar("SELECT options FROM builds WHERE number = ?")
        .bind(number.0)
        .fetch_one(&mut **transaction)
        .await?;
    let options: BuildOptions = from_json(&options, &format!("the options of build {number}"))?;
    Ok(options.probe)
}

fn check_manifest(
    manifest: &Manifest,
    key: BuildKey,
    module: Option<&str>,
    size: Option<i64>,
) -> Result<(), String> {
    let claimed: Sha256Digest = manifest.module.digest;
    if manifest.build_key != key {
        Err(format!("it has the build key {}, not {key}", manifest.build_key))
    } else if module != Some(claimed.to_string().as_str()) {
        Err(format!("no module with the digest {claimed} was uploaded"))
    } else if size != i64::try_from(manifest.module.size_bytes).ok() {
        Err(format!("it says {} bytes, the module has another size", manifest.module.size_bytes))
    } else {
        Ok(())
    }
}
